rec { __overrides = { y = x; }; x = 1 + y; y = 2; }.x
