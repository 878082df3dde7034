//! However large a layer is, unpacking it takes the same memory.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::Command;
use std::{env, path::Path};

use bulkhead::image::documents::{Compression, Descriptor, Layer};
use bulkhead::image::layer::{self, Fault, Form, Limits};
use bulkhead::image::{Hasher, digest::Algorithm, digest::Hashing};

use crate::harness::{needs, scratch};
use crate::images::{Entry, Tarball};
use crate::unpacked::policy;

const MIB: u64 = 1 << 20;

/// Where the process of its own finds the blobs, and what it is to do with them.
const PLACE: &str = "BULKHEAD_TEST_BLOBS";

const NAMES: [(&str, Compression); 2] = [("gzip", Compression::Gzip), ("zstd", Compression::Zstd)];

/// Writes a layer with one file of zeros, and what it is beside it.
fn write_layer(place: &Path, name: &str, size: u64, compression: Compression) {
    let mut archive = Hasher::new(Algorithm::Sha256);
    let file = Hashing::new(File::create(place.join(name)).unwrap(), Algorithm::Sha256);
    let header =
        Tarball::of([Entry::file("zeros", b"").size(i64::try_from(size).unwrap())]).unfinished();
    let mut tee = |out: &mut dyn Write| {
        let mut put = |bytes: &[u8]| {
            archive.update(bytes);
            out.write_all(bytes).unwrap();
        };
        put(&header);
        let zeros = vec![0; 1 << 20];
        (0..size / MIB).for_each(|_| put(&zeros));
        put(&[0; 1024]);
    };
    let file = match compression {
        Compression::Zstd => {
            let mut encoder = zstd::Encoder::new(file, 1).unwrap();
            // The largest window that is given memory.
            encoder.window_log(23).unwrap();
            tee(&mut encoder);
            encoder.finish().unwrap()
        }
        _ => {
            let level = flate2::Compression::fast();
            let mut encoder = flate2::write::GzEncoder::new(file, level);
            tee(&mut encoder);
            encoder.finish().unwrap()
        }
    };
    let (_, size, digest) = file.finish();
    let text = format!("{digest} {} {size}", archive.finish());
    fs::write(place.join(format!("{name}.layer")), text).unwrap();
}

/// What [`write_layer`] has written.
fn read_layer(place: &Path, name: &str, compression: Compression) -> Layer {
    let text = fs::read_to_string(place.join(format!("{name}.layer"))).unwrap();
    let words: Vec<&str> = text.split(' ').collect();
    Layer {
        blob: Descriptor {
            media_type: String::new(),
            digest: words[0].parse().unwrap(),
            size: words[2].parse().unwrap(),
        },
        compression,
        diff_id: words[1].parse().unwrap(),
    }
}

/// The most memory that this process has had, in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn in_a_process_of_its_own(test: &str, blobs: &Path) -> u64 {
    let out = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(PLACE, blobs)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        out.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let peak = text.lines().find_map(|line| line.split("peak ").nth(1));
    peak.unwrap_or_else(|| panic!("{text}"))
        .trim()
        .parse()
        .unwrap()
}

fn tell_peak() {
    io::stdout()
        .write_all(format!("\npeak {}\n", peak()).as_bytes())
        .unwrap();
}

#[test]
fn two_large_layers_at_once_take_less_than_32_mib() {
    needs!(root);
    let name = "memory::two_large_layers_at_once_take_less_than_32_mib";
    if let Some(place) = env::var_os(PLACE) {
        let place = Path::new(&place);
        let layers = NAMES.map(|(name, compression)| read_layer(place, name, compression));
        fs::create_dir(place.join("tree")).unwrap();
        let into = File::open(place.join("tree")).unwrap();
        let open = |layer: &Layer| {
            let name = if layer.compression == Compression::Gzip {
                "gzip"
            } else {
                "zstd"
            };
            Ok(Box::new(File::open(place.join(name))?) as Box<dyn Read + Send>)
        };
        layer::flatten(&layers, open, into.as_fd(), &policy(Form::Flat)).unwrap();
        return tell_peak();
    }
    let place = scratch("memory");
    for (name, compression) in NAMES {
        write_layer(&place, name, 256 * MIB, compression);
    }
    let peak = in_a_process_of_its_own(name, &place);
    assert_eq!(
        fs::metadata(place.join("tree/zeros")).unwrap().len(),
        256 * MIB
    );
    assert!(peak < 32 * 1024, "{peak} KiB");
    fs::remove_file(place.join("tree/zeros")).unwrap();
}

/// Goal 6 of what attacks are known: a bomb of 2 GiB.
#[test]
fn a_bomb_is_refused_with_less_than_64_mib() {
    needs!(root);
    let name = "memory::a_bomb_is_refused_with_less_than_64_mib";
    let Some(place) = env::var_os(PLACE) else {
        let place = scratch("bomb");
        for (name, compression) in NAMES {
            write_layer(&place, name, 2048 * MIB, compression);
        }
        let peak = in_a_process_of_its_own(name, &place);
        assert!(peak < 64 * 1024, "{peak} KiB");
        return;
    };
    let place = Path::new(&place);
    let into = File::open(place).unwrap();
    let mut how = policy(Form::Overlay);
    for (name, compression) in NAMES {
        let bomb = read_layer(place, name, compression);
        let blob = || File::open(place.join(name)).unwrap();
        how.limits = Limits {
            size: 2000 * MIB,
            ..Limits::default()
        };
        let error = layer::unpack(blob(), &bomb, into.as_fd(), &how).unwrap_err();
        assert!(matches!(error.fault, Fault::Size(_)), "{error}");
        assert!(!place.join("zeros").exists(), "nothing of it is written");
        how.limits = Limits {
            ratio: Some(100),
            ..Limits::default()
        };
        let error = layer::unpack(blob(), &bomb, into.as_fd(), &how).unwrap_err();
        assert!(matches!(error.fault, Fault::Ratio(100)), "{error}");
        fs::remove_file(place.join("zeros")).unwrap();
    }
    tell_peak();
}
