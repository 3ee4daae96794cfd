"""Upstreams: balancers, pools, resolution, and the HTTP/1.1 codec towards them."""
