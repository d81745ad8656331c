!(!null)
