"""The broker side by side with its peers; run by `make bench`, never by the tests."""
