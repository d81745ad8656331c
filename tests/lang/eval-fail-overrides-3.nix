rec { __overrides = { x = y; y = x; }; x = y; y = 2; z = throw "it is ${toString x}"; }.z
