//! How the coming of an image is shown: bars on a terminal, lines elsewhere, JSON for scripts.

use std::collections::HashMap;
use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};

use crate::cli::output;
use crate::image::progress::Silent;
use crate::image::{Digest, Event, Progress};

/// How a command shows what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    Nothing,
    /// On standard error: bars where it is a terminal, else a line for each blob.
    ForPeople,
    /// On standard output: an object a line (`event`, and the fields of [`Event`]).
    Json,
}

/// What shows it.
pub(super) fn shown(show: Show) -> Box<dyn Progress> {
    match show {
        Show::Nothing => Box::new(Silent),
        Show::Json => Box::new(Json),
        Show::ForPeople if io::stderr().is_terminal() => Box::new(Bars::new()),
        Show::ForPeople => Box::new(Lines),
    }
}

struct Json;

impl Progress for Json {
    fn tell(&self, event: Event<'_>) {
        // What has no reader is still done.
        if let Ok(line) = serde_json::to_string(&event) {
            let _ = output::print(&format!("{line}\n"));
        }
    }
}

struct Lines;

impl Progress for Lines {
    fn tell(&self, event: Event<'_>) {
        if let Some(line) = line(event) {
            eprintln!("{line}");
        }
    }
}

/// What a log keeps: not every piece that comes.
fn line(event: Event<'_>) -> Option<String> {
    Some(match event {
        Event::Known { blob, .. } => format!("{}: already here", short(blob)),
        Event::Fetching { blob, size } => format!("{}: fetching {}", short(blob), HumanBytes(size)),
        Event::Unpacked {
            blob,
            entries,
            bytes,
        } => {
            format!(
                "{}: unpacked {entries} entries, {}",
                short(blob),
                HumanBytes(bytes)
            )
        }
        Event::Fetched { blob } => format!("{}: fetched", short(blob)),
        Event::Came { .. } | Event::Unpacking { .. } => return None,
    })
}

fn short(blob: &Digest) -> &str {
    &blob.hex()[..12]
}

/// A bar for each blob, which becomes the word of its end.
struct Bars {
    all: MultiProgress,
    by_blob: Mutex<HashMap<Digest, ProgressBar>>,
}

impl Bars {
    fn new() -> Self {
        Self {
            all: MultiProgress::new(),
            by_blob: Mutex::default(),
        }
    }

    fn on(&self, blob: &Digest, act: impl FnOnce(&ProgressBar)) {
        let mut bars = self.by_blob.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bars.entry(blob.clone()).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::no_length());
            bar.set_prefix(short(blob).to_string());
            bar
        });
        act(bar);
    }
}

const WORD: &str = "{prefix}  {msg}";
const MOVING: &str = "{prefix}  [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}";

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates are constant")
        .progress_chars("=> ")
}

impl Progress for Bars {
    fn tell(&self, event: Event<'_>) {
        match event {
            Event::Known { blob, .. } => self.on(blob, |bar| say(bar, "already here")),
            Event::Fetching { blob, size } => self.on(blob, |bar| {
                bar.set_length(size);
                bar.set_style(style(MOVING));
            }),
            Event::Came { blob, bytes } => self.on(blob, |bar| bar.inc(bytes)),
            Event::Fetched { blob } => self.on(blob, |bar| say(bar, "fetched")),
            Event::Unpacking { blob } => self.on(blob, |bar| say(bar, "unpacking")),
            Event::Unpacked {
                blob,
                entries,
                bytes,
            } => self.on(blob, |bar| {
                bar.set_style(style(WORD));
                bar.finish_with_message(format!(
                    "unpacked {entries} entries, {}",
                    HumanBytes(bytes)
                ));
            }),
        }
    }
}

fn say(bar: &ProgressBar, word: &'static str) {
    bar.set_style(style(WORD));
    bar.set_message(word);
    bar.tick();
}

impl Drop for Bars {
    /// What was shown last stays.
    fn drop(&mut self) {
        for bar in self
            .by_blob
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
        {
            bar.abandon();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_gets_a_line_for_each_end() {
        let blob = Digest::of(b"");
        let told = [
            Event::Fetching {
                blob: &blob,
                size: 1 << 20,
            },
            Event::Came {
                blob: &blob,
                bytes: 5,
            },
            Event::Fetched { blob: &blob },
            Event::Unpacked {
                blob: &blob,
                entries: 3,
                bytes: 2048,
            },
        ];
        let lines: Vec<String> = told.into_iter().filter_map(line).collect();
        let expected = [
            "e3b0c44298fc: fetching 1.00 MiB",
            "e3b0c44298fc: fetched",
            "e3b0c44298fc: unpacked 3 entries, 2.00 KiB",
        ];
        assert_eq!(lines, expected);
        let json = serde_json::to_string(&Event::Came {
            blob: &blob,
            bytes: 5,
        });
        let expected = format!(r#"{{"event":"came","blob":"{blob}","bytes":5}}"#);
        assert_eq!(json.ok(), Some(expected));
    }
}
