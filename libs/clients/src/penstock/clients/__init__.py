"""HTTP clients of model servers, as more than one service needs them."""
