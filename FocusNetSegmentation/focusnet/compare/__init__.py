"""An old and a new model on the same corrected cases: is the new one better, worse, or is it not to tell?"""
