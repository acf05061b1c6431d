"""A study over every kind of data: does near-full usage without help hold beyond images?"""
