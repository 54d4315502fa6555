# controllerd/
