rec { __overrides = { y = 1; }; z = [ z ]; w = z < 1; }.w
