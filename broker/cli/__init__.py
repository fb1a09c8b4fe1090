"""The command line: settings in, the house started or the store read, tables or JSON out."""
