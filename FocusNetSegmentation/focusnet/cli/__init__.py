"""The command ``focusnet``: one module a command, with its options and its run."""
