//! The one façade: evaluate, instantiate, realise, run.
