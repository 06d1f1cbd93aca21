"""From a CT to contours: preprocess, run the networks in chunks, find small organs, lay them over, restore the scan's grid."""
