"""Kinds of data, one folder each; they do not import each other. Who knows one folder knows all:

    config      settings: the tokenizer's shape, its training, the measurement; no torch
    networks    encoder and decoder
    loss        what Stage I minimises
    show        images to look at
    domain      the kind itself: how examples are read, encoded, measured and shown, a subclass of ``Domain``
    evaluate    what is measured of both stages;  report: how it is told
    recipes     full settings of both stages, by name; no torch

The rest is a kind's own: discriminator and editing of images; data, priors, baselines and predictions of label maps.
"""
