"""Training of image trunks before any policy: from a twin's true state, or from recorded episodes of any robot."""
