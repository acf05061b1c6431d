"""Sound files to waveforms: decoding and resampling, sources of labelled recordings, batches."""
