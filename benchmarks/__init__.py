"""Speed and memory beside other libraries, both sides in one run; never part of the tests."""
