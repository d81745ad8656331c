//! Code that is compiled when it is needed.

use crate::code::compile::{Context, Later, compile_function, compile_thunk};
use crate::code::ir::{Body, Function, Lambda, Lazy, ThunkCode};
use crate::error::{Error, Result};
use crate::eval::Evaluator;

impl Evaluator {
    /// What a thunk evaluates.
    #[inline(always)]
    pub(crate) fn body(&mut self, code: &'static ThunkCode) -> Result<&'static Body> {
        match code.body.get() {
            Some(body) => Ok(body),
            None => self.compile_later(&code.body, compile_thunk),
        }
    }

    /// What a function does.
    #[inline(always)]
    pub(crate) fn function(&mut self, lambda: &'static Lambda) -> Result<&'static Function> {
        match lambda.function.get() {
            Some(function) => Ok(function),
            None => self.compile_later(&lambda.function, compile_function),
        }
    }

    #[cold]
    #[inline(never)]
    fn compile_later<T>(
        &mut self,
        lazy: &'static Lazy<T>,
        compile: impl Fn(&Later, Context<'_>) -> Result<T>,
    ) -> Result<&'static T> {
        self.check_stack()?;
        let Some(later) = lazy.rest() else { return Err(Error::eval("code that is missing")) };
        compile(later, self.compiler_context()).map(|compiled| lazy.set(compiled))
    }

    /// What the compiler needs.
    pub(super) fn compiler_context(&mut self) -> Context<'_> {
        let observed = self.is_observed();
        let Evaluator { heap, symbols, globals, names, .. } = self;
        Context { heap, symbols, globals, names, observed }
    }
}
