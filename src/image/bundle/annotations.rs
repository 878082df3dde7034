//! What is known of a container beside what it runs.

use std::collections::BTreeMap;

use super::Settings;
use crate::image::documents::Config;

/// Annotations that runtimes and engines act upon: a label of a stranger's image must not become one.
pub const RESERVED: [&str; 7] = [
    "bulkhead.",
    "io.containerd.",
    "io.katacontainers.",
    "io.kubernetes.",
    "org.criu.",
    "org.systemd.property.",
    "run.oci.",
];

/// Whether no label may be called so.
pub fn is_reserved(label: &str) -> bool {
    RESERVED.iter().any(|prefix| label.starts_with(prefix)) || label.is_empty()
}

/// The image's config in the words of image-spec's conversion.md, its labels, and the caller's; of two by
/// one name the later is taken.
pub(super) fn of(config: &Config, settings: &Settings) -> BTreeMap<String, String> {
    let (image, platform) = (&config.process, &config.platform);
    let stop_signal = settings.stop_signal.as_ref().or(image.stop_signal.as_ref());
    let known = [
        ("os", Some(platform.os().to_owned())),
        ("architecture", Some(platform.architecture().to_owned())),
        ("variant", platform.variant().map(str::to_owned)),
        ("created", config.created.clone()),
        ("author", config.author.clone()),
        (
            "exposedPorts",
            Some(image.exposed_ports.join(",")).filter(|ports| !ports.is_empty()),
        ),
    ];
    let mut all: BTreeMap<String, String> = known
        .into_iter()
        .filter_map(|(key, value)| Some((format!("org.opencontainers.image.{key}"), value?)))
        .collect();
    for (label, value) in &image.labels {
        if label == STOP_SIGNAL {
            // What `stop` sends is what the config says.
            continue;
        } else if is_reserved(label) {
            log::warn!("the image's label {label:?} is left out: a runtime would act upon it");
        } else {
            all.insert(label.clone(), value.clone());
        }
    }
    all.extend(settings.labels.iter().cloned());
    if let Some(signal) = stop_signal {
        all.insert(STOP_SIGNAL.into(), signal.clone());
    }
    all
}

const STOP_SIGNAL: &str = "org.opencontainers.image.stopSignal";
