"""The production network of a rank: TCP connections, one epoll loop, no threads."""
