"""Put approved cases into a training set on this computer or on a shared folder (docs/learning.md). No torch here."""
