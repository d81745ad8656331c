rec { __overrides = x; x = { y = __overrides; z = y; }; y = 1; a = z.z; z = "s"; }.a
