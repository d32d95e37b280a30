"""What Grafana and Prometheus show and say of a box: made by ``python -m appliance.grafana``."""
