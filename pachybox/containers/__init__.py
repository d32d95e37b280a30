"""podman, as the box and its tools use it: the engine, images, builds."""
