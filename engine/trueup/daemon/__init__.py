"""The service that reconciles for ever."""
