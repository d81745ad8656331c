//! Profiles in the folded form that flame graphs are drawn from: a line for each stack, its frames separated by
//! semicolons, and how often it was seen.

use std::collections::BTreeMap;

use nopal_syntax::Symbol;
use nopal_syntax::interner::sym;

use crate::builtin::BuiltinDef;
use crate::code::ir::Lambda;
use crate::eval::Evaluator;
use crate::pos::Pos;
use crate::value::{Value, View};

const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

/// A call on the stack. The order is that of Nix's kinds of frames.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Frame {
    Lambda { place: Pos, name: Option<Symbol>, call: Pos },
    Builtin { name: &'static str, call: Pos },
    Functor { at: Pos },
    Derivation { call: Pos, name: String },
    Other { call: Pos },
}

/// Samples of the stack.
pub(super) struct Profile {
    stack: Vec<Frame>,
    samples: BTreeMap<Vec<Frame>, u64>,
    period_ns: u64,
    last_ns: u64,
}

impl Profile {
    pub(super) fn new(hz: u32, now_ns: u64) -> Profile {
        let period_ns = NANOSECONDS_PER_SECOND.checked_div(u64::from(hz)).unwrap_or(0);
        Profile { stack: Vec::new(), samples: BTreeMap::new(), period_ns, last_ns: now_ns }
    }

    fn enter(&mut self, frame: Frame, now_ns: u64) {
        self.stack.push(frame);
        let elapsed = now_ns.saturating_sub(self.last_ns);
        if self.period_ns == 0 || elapsed > self.period_ns {
            *self.samples.entry(self.stack.clone()).or_default() += 1;
            self.last_ns = now_ns;
        }
    }

    pub(super) fn leave(&mut self) {
        self.stack.pop();
    }
}

impl Evaluator {
    /// Puts a call on the stack of the profile, if there is one, and samples it when it is time.
    pub(super) fn profile_call(&mut self, function: Value, args: &[Value], pos: Pos) {
        if self.observer.as_ref().is_none_or(|observer| observer.profile.is_none()) {
            return;
        }
        let frame = self.frame(function, args, pos);
        let now = self.host().now_ns();
        if let Some(profile) = self.observer.as_mut().and_then(|observer| observer.profile.as_mut()) {
            profile.enter(frame, now);
        }
    }

    fn frame(&mut self, function: Value, args: &[Value], call: Pos) -> Frame {
        match function.follow().view() {
            View::Closure(closure) => {
                let Lambda { name, pos, .. } = closure.lambda();
                Frame::Lambda { place: *pos, name: name.get(), call }
            }
            View::Builtin(def) => self.builtin_call(def, args, call),
            View::PartialApp(partial) => Frame::Builtin { name: partial.builtin().name, call },
            View::Attrs(attrs) => match attrs.get_with_pos(sym::FUNCTOR) {
                Some((_, defined)) => Frame::Functor { at: call.or(defined) },
                None => Frame::Other { call },
            },
            _ => Frame::Other { call },
        }
    }

    /// A derivation is shown with its name. Errors on the way to it come again when it is made.
    fn builtin_call(&mut self, def: &'static BuiltinDef, args: &[Value], call: Pos) -> Frame {
        if let ("derivationStrict", Some(arg)) = (def.name, args.first())
            && let Ok(attrs) = self.force_attrs(*arg, call, "")
            && let Some(name) = attrs.get(sym::NAME)
            && let Ok(name) = self.force_string_no_ctx(name, call, "")
        {
            return Frame::Derivation { call, name: name.to_lossy().into_owned() };
        }
        Frame::Builtin { name: def.name, call }
    }

    /// The profile so far, a line for each stack; `None` if there is none.
    pub fn profile(&self) -> Option<Vec<u8>> {
        let profile = self.observer.as_ref()?.profile.as_ref()?;
        let mut text = String::new();
        for (stack, count) in &profile.samples {
            let frames: Vec<String> = stack.iter().map(|frame| self.show_frame(frame)).collect();
            text.push_str(&format!("{} {count}\n", frames.join(";")));
        }
        Some(text.into_bytes())
    }

    fn show_frame(&self, frame: &Frame) -> String {
        let at = |pos: Pos| if pos.is_none() { String::new() } else { format!("{}:", self.show_pos(pos)) };
        match frame {
            Frame::Lambda { place, name, call } => {
                let shown = self.show_pos(call.or(*place));
                name.map_or_else(|| shown.clone(), |name| format!("{shown}:{}", self.symbol_name(name)))
            }
            Frame::Builtin { name, call } => format!("{}primop {name}", at(*call)),
            Frame::Functor { at } => format!("{}:functor", self.show_pos(*at)),
            Frame::Derivation { call, name } => format!("{}primop derivationStrict:{name}", at(*call)),
            Frame::Other { call } => self.show_pos(*call),
        }
    }
}
