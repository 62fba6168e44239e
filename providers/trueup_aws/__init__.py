"""The AWS provider: queues, topics, buckets and parameters of one account and region per target."""
