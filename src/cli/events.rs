//! `events`: one line of JSON for each thing that happens in a container.

use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::bail;
use clap::Arg;
use serde::Serialize;

use super::arguments::Order;
use super::context::boolean;
use super::usage::Count;
use super::{Call, Command, duration, output};
use crate::container::{self, Event, Usage};
use crate::spec::Id;

pub(super) const COMMAND: Command = Command {
    name: "events",
    about: "tell what a container uses, and when it runs out of memory",
    arguments: "<container-id>",
    count: Count::Exactly(1),
    order: Order::Anywhere,
    shielded: false,
    detail: "Prints a line of JSON after each interval and for each event, until the container ends.",
    flags,
    run,
};

const INTERVAL: Duration = Duration::from_secs(5);

fn flags() -> Vec<Arg> {
    vec![
        Arg::new("interval")
            .long("interval")
            .value_parser(duration::parse)
            .help("time from one line of statistics to the next (default: 5s)"),
        boolean("stats").help("print one line of statistics now, and no more"),
    ]
}

fn run(call: &Call) -> Result<u8, anyhow::Error> {
    let (context, id) = (call.context(), call.id()?);
    let interval = call.flags.get_one("interval").copied().unwrap_or(INTERVAL);
    // Callers look for the container's absence: it is told before what is wrong with the rest.
    context.store.load(&id)?;
    if interval.is_zero() {
        bail!("duration interval must be greater than 0");
    }
    if call.flags.get_flag("stats") {
        let stats = container::stats(&context, &id)?;
        return print(&id, &Event::Stats(Box::new(stats))).map(|_| 0);
    }
    let mut fault = None;
    container::events(&context, &id, interval, |event| match print(&id, &event) {
        Ok(flow) => flow,
        Err(e) => {
            fault = Some(e);
            ControlFlow::Break(())
        }
    })?;
    fault.map_or(Ok(0), Err)
}

/// A reader that has gone away has heard enough.
fn print(id: &Id, event: &Event) -> Result<ControlFlow<()>, anyhow::Error> {
    let line = serde_json::to_string(&Shown::new(id, event))? + "\n";
    match output::print(&line) {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(e) if e.is_unheard() => Ok(ControlFlow::Break(())),
        Err(e) => Err(e.into()),
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
}

/// The last is never filled, but callers find it in runc's lines.
#[derive(Serialize)]
struct Data<'a> {
    #[serde(flatten)]
    usage: &'a Usage,
    network_interfaces: (),
}

impl<'a> Shown<'a> {
    fn new(id: &'a Id, event: &'a Event) -> Self {
        let (kind, data) = match event {
            Event::Oom => ("oom", None),
            Event::Stats(usage) => (
                "stats",
                Some(Data {
                    usage,
                    network_interfaces: (),
                }),
            ),
        };
        let id = id.as_str();
        Self { kind, id, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line_in_runcs_shape() {
        let id = Id::new("web").unwrap();
        let line = |event| serde_json::to_string(&Shown::new(&id, &event)).unwrap();
        assert_eq!(line(Event::Oom), r#"{"type":"oom","id":"web"}"#);
        let stats = line(Event::Stats(Box::default()));
        let begins = r#"{"type":"stats","id":"web","data":{"cpu":{"usage":{"#;
        assert!(stats.starts_with(begins), "{stats}");
        let ends = r#""hugetlb":{},"intel_rdt":{},"network_interfaces":null}}"#;
        assert!(stats.ends_with(ends), "{stats}");
    }
}
