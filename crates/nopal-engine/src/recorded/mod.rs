//! Answers of evaluations, kept with a record of everything of the world that they depend on.
//!
//! An evaluation is a function of what it is given (expression, arguments, settings: the *key*) and of the answers of its
//! host, which is all it sees of the world. So a [`RecordingHost`](host::RecordingHost) notes questions and answers, and
//! whoever evaluates the same key again asks the same questions: if all answers are the same, so is the result, and
//! what was shown on the way is shown again. What failed, or looked at the clock, is not kept.
//!
//! The design, with the reasons why no answer can be out of date, is in `docs/design/incremental.md`.

mod check;
mod division;
mod encode;
mod folder;
mod host;
mod record;
mod watch;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nopal_eval::host::Host;
use nopal_eval::pos::Origin;
use nopal_eval::uses::Parts;
use nopal_eval::value::Root;
use nopal_eval::{Error, Evaluator, Settings};
use nopal_report::Level;

use self::check::Checker;
use self::division::Rest;
use self::encode::{Reader, Writer};
use self::folder::Folder;
use self::host::{Code, Ending, RecordingHost};
pub(crate) use self::record::Identity;
use self::record::{Digest, digest, tokens_digest};
pub(crate) use self::watch::Trust;
use crate::engine::Shared;
use crate::error::EngineError;
use crate::host::EvalHost;
use crate::parsed::ParsedSources;
use crate::realise::Wanted;

/// The folder of records in the cache.
const FOLDER: &str = "evaluations";

/// How answers of evaluations are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluationCache {
    /// What tells this program from every other build of it: answers of another one are not taken.
    pub program: String,
    /// An evaluation that takes less time than this is not worth a record.
    pub worth: Duration,
}

/// What an evaluation for the command line comes to.
pub(crate) trait Answer: Sized + Send {
    /// Its form in a record.
    fn to_record(&self) -> Vec<u8>;
    /// Reads it.
    fn from_record(bytes: &[u8]) -> Option<Self>;
}

/// Bytes for standard output.
impl Answer for Vec<u8> {
    fn to_record(&self) -> Vec<u8> {
        self.clone()
    }

    fn from_record(bytes: &[u8]) -> Option<Self> {
        Some(bytes.to_vec())
    }
}

/// Derivations and outputs.
impl Answer for Vec<Wanted> {
    fn to_record(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.number(self.len() as u64);
        for wanted in self {
            out.store_path(&wanted.drv_path);
            out.number(wanted.outputs.len() as u64);
            for output in &wanted.outputs {
                out.bytes(output.as_bytes());
            }
            out.bytes(wanted.output.as_bytes());
            out.bytes(wanted.attr.as_bytes());
        }
        out.out
    }

    fn from_record(bytes: &[u8]) -> Option<Self> {
        Reader { rest: bytes }.many(|rest| {
            Some(Wanted {
                drv_path: rest.store_path()?,
                outputs: rest.many(Reader::text)?,
                output: rest.text()?,
                attr: rest.text()?,
            })
        })
    }
}

/// An evaluation that was recorded.
struct Evaluated<T> {
    answer: T,
    host: Arc<RecordingHost>,
    ending: Ending,
    /// The sources that were read as code, if a record is worth it.
    code: Option<Code>,
}

/// What a record says.
enum Recalled<T> {
    /// The answer.
    Whole(T),
    /// Parts of it.
    Rest(Box<Rest>),
    /// Nothing that still holds.
    Nothing,
}

impl Shared {
    /// The answer to `question`, which says everything that `work` evaluates besides the settings: from a record if
    /// there is one and nothing has changed, else by evaluation.
    ///
    /// # Errors
    /// Evaluation fails.
    pub(crate) fn answer<T: Answer>(
        self: &Arc<Self>,
        question: &dyn Debug,
        work: impl Fn(&mut Evaluator) -> Result<T, Error> + Send + Sync,
    ) -> Result<T, EngineError> {
        let Some(cache) = &self.config.evaluation_cache else { return self.with_threads(work) };
        let key = self.key(question, cache);
        let folder = Folder::new(self.config.cache_dir.join(FOLDER));
        let rest = match self.recall(&key, &folder) {
            Recalled::Whole(answer) => return Ok(answer),
            Recalled::Rest(rest) => Some(*rest),
            Recalled::Nothing => None,
        };
        if let Some(rest) = rest
            && let Ok(evaluated) = self.evaluate_recorded(&work, Some(rest), Duration::ZERO)
            && !evaluated.ending.is_ambiguous
        {
            return self.keep(&key, &folder, evaluated);
        }
        // what fails, fails as it would have done without a record
        let evaluated = self.evaluate_recorded(&work, None, cache.worth)?;
        self.keep(&key, &folder, evaluated)
    }

    /// Evaluates everything, or what `rest` does not have. The answer is worth a record if that takes as long as `worth`.
    fn evaluate_recorded<T: Answer>(
        self: &Arc<Self>,
        work: &(impl Fn(&mut Evaluator) -> Result<T, Error> + Send + Sync),
        rest: Option<Rest>,
        worth: Duration,
    ) -> Result<Evaluated<T>, EngineError> {
        let start = Instant::now();
        let inner = EvalHost::new(self.clone(), self.config.read_only_eval);
        let host = Arc::new(RecordingHost::new(self.clone(), inner, rest));
        let known = host.known_parts();
        let adding = host.clone();
        let evaluated = self.evaluate_ahead(host.clone(), move |evaluator| {
            evaluator.parts = Some(Parts { known: known.clone(), ..Parts::default() });
            let answer = work(evaluator)?;
            adding.inner().end_additions();
            let parts = evaluator.parts.take().unwrap_or_default();
            Ok((answer, parts, (start.elapsed() >= worth).then(|| code(evaluator, self.parsed.as_ref()))))
        });
        if evaluated.is_err() {
            // what was made before something failed stays, as in Nix; that is what is told, whatever the store says
            let _ = host.inner().flush();
        }
        let (answer, parts, code) = evaluated?;
        Ok(Evaluated { answer, ending: host.end(parts), host, code })
    }

    /// Writes what an evaluation made, and a record of it.
    fn keep<T: Answer>(&self, key: &Digest, folder: &Folder, evaluated: Evaluated<T>) -> Result<T, EngineError> {
        let Evaluated { answer, host, ending, code } = evaluated;
        host.show(&ending);
        if ending.anew < ending.parts() {
            let text = format!("{} of {} parts have changed since this was evaluated", ending.anew, ending.parts());
            self.config.reporter.message(Level::Info, &text);
        }
        // meanwhile the store writes what is left
        let record = code.and_then(|code| host.record(answer.to_record(), &code, ending));
        let record = record.map(|record| encode::encode(key, &record));
        host.inner().flush()?;
        if let Some(record) = record {
            // a cache that cannot be written to is no reason to fail
            let _ = folder.put(key, &record);
        }
        Ok(answer)
    }

    /// What a record says, if there is one.
    fn recall<T: Answer>(self: &Arc<Self>, key: &Digest, folder: &Folder) -> Recalled<T> {
        let Some(mut record) = folder.get(key).and_then(|bytes| encode::decode(key, &bytes)) else {
            return Recalled::Nothing;
        };
        let mut checker = Checker::new(self, has_pipe_operators(&self.eval_settings()));
        let Some(changed) = checker.changed(&mut record.facts, record.division.is_none()) else {
            return Recalled::Nothing;
        };
        if !changed.is_empty() {
            return record.without(&changed).map_or(Recalled::Nothing, |rest| Recalled::Rest(Box::new(rest)));
        }
        let Some(answer) = T::from_record(&record.answer) else { return Recalled::Nothing };
        if checker.learned {
            let _ = folder.put(key, &encode::encode(key, &record));
        } else {
            folder.touch(key);
        }
        self.config.reporter.message(Level::Info, "nothing has changed since this was evaluated");
        let host = EvalHost::new(self.clone(), true);
        record.messages.into_iter().for_each(|message| host.emit(message));
        Recalled::Whole(answer)
    }

    /// The hash of all that an evaluation is given. The settings are taken as a whole, by their debugging form, so that
    /// none can be forgotten.
    fn key(&self, question: &dyn Debug, cache: &EvaluationCache) -> Digest {
        let config = &self.config;
        // what becomes of memory is nothing that an answer depends on
        let settings = format!("{:?}", Settings { leaves_memory: false, ..self.eval_settings() });
        let host = format!("{:?} {:?} {:?}", config.store, config.cache_dir, config.offline);
        let question = format!("{question:?}");
        digest(&[cache.program.as_bytes(), settings.as_bytes(), host.as_bytes(), question.as_bytes()])
    }
}

/// What an evaluation read as code, and whether its tokens say all that the evaluation learned of it.
fn code(evaluator: &Evaluator, parsed: Option<&ParsedSources>) -> Code {
    let pipe_operators = has_pipe_operators(&evaluator.settings);
    let mut code = Code::new();
    for (source, is_observed) in evaluator.positions.observations() {
        let Origin::File { root: Root::HOST, path } = &source.origin else { continue };
        let found = code.entry(path.clone()).or_default();
        let tokens = if is_observed { None } else { kept_tokens_digest(&source.text, pipe_operators, parsed) };
        // two readings of a file that agree, or none
        found.tokens = if found.readings == 0 || found.tokens == tokens { tokens } else { None };
        found.readings += 1;
    }
    code
}

/// As [`tokens_digest`], which is found out once for each source.
fn kept_tokens_digest(source: &[u8], pipe_operators: bool, parsed: Option<&ParsedSources>) -> Option<Digest> {
    let Some(parsed) = parsed else { return tokens_digest(source, pipe_operators) };
    let key = digest(&[b"tokens", &[u8::from(pipe_operators)], source]);
    if let Some(kept) = parsed.get(&key) {
        // empty where it is not made of tokens
        return kept.try_into().ok();
    }
    let found = tokens_digest(source, pipe_operators);
    parsed.put(key, found.as_slice().concat());
    found
}

fn has_pipe_operators(settings: &Settings) -> bool {
    settings.has_feature("pipe-operators")
}
