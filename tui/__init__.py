"""The terminal: what ``pachybox`` alone opens. It knows a box by ``pachybox.client`` only."""
