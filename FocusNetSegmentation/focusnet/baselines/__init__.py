"""Methods that FocusNet is compared with."""
