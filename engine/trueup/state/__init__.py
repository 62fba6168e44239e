"""The state store. `state.open.open_store` opens one by URL; `state.store` is its contract."""
