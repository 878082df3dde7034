//! Blobs and trees of an image's layers, several at once.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;

use super::{Error, Taking, UNPACKERS, check};
use crate::image::documents::Layer;
use crate::image::layer::{self, Unpacked};
use crate::image::progress::Event;
use crate::image::source::Source;
use crate::image::store::{LayerRecord, Made, Scratch, Work, chain_ids, complete};
use crate::image::{Digest, Hasher, Store};

/// Bytes between two looks at whether another thread has failed.
const PIECE: usize = 256 << 10;

/// A layer that is wanted, once for all the places that the image has it in.
struct Job<'a> {
    layer: &'a Layer,
    /// Whether the store has the blob.
    is_there: bool,
    /// Where in the image the store has no tree of it, bottom first. What a layer takes from those below it
    /// may be another thing at another place.
    places: Vec<usize>,
}

/// Where everything goes.
struct Crew<'a> {
    store: &'a Store,
    scratch: &'a Scratch,
    source: &'a dyn Source,
    how: &'a Taking<'a>,
    jobs: Vec<Job<'a>>,
    next: AtomicUsize,
    has_failed: AtomicBool,
    failure: Mutex<Option<Error>>,
    /// By places.
    made: Mutex<BTreeMap<usize, Unpacked>>,
}

/// Brings what the store lacks of these layers, bottom first, into the scratch.
pub(super) fn bring(
    store: &Store,
    scratch: &Scratch,
    source: &dyn Source,
    layers: &[Layer],
    how: &Taking<'_>,
    work: &mut Work,
) -> Result<(), Error> {
    let chain = chain_ids(layers.iter().map(|layer| &layer.diff_id));
    let crew = Crew {
        store,
        scratch,
        source,
        how,
        jobs: jobs(store, layers, &chain)?,
        next: AtomicUsize::new(0),
        has_failed: AtomicBool::new(false),
        failure: Mutex::new(None),
        made: Mutex::new(BTreeMap::new()),
    };
    crew.work();
    let failure = crew.failure.into_inner().expect("a thread does not panic");
    if let Some(error) = failure {
        return Err(error);
    }
    let fetched = crew.jobs.iter().filter(|job| !job.is_there);
    work.blobs
        .extend(fetched.map(|job| job.layer.blob.digest.clone()));
    let trees = crew.made.into_inner().expect("a thread does not panic");
    for (place, unpacked) in &trees {
        if !unpacked.leanings.is_empty() {
            let below = below(store, scratch, &layers[..*place], &chain, work)?;
            let tree = scratch.open_layer(&tree_name(*place))?;
            complete(&layers[*place], unpacked, &below, tree.as_fd())?;
        }
        work.layers.push(made(layers, &chain, *place, unpacked));
    }
    Ok(())
}

fn tree_name(place: usize) -> String {
    format!("layer-{place}")
}

fn jobs<'a>(store: &Store, layers: &'a [Layer], chain: &[Digest]) -> Result<Vec<Job<'a>>, Error> {
    let mut jobs: Vec<Job<'a>> = Vec::new();
    for (place, layer) in layers.iter().enumerate() {
        let has_tree = store.find_layer(&layer.diff_id, &chain[place])?.is_some();
        let place = (!has_tree).then_some(place);
        match jobs.iter_mut().find(|job| job.layer == layer) {
            Some(job) => job.places.extend(place),
            None => jobs.push(Job {
                layer,
                is_there: store.has_blob(&layer.blob)?,
                places: place.into_iter().collect(),
            }),
        }
    }
    Ok(jobs)
}

impl Crew<'_> {
    fn work(&self) {
        let (send, receive) = mpsc::channel();
        let receive = Mutex::new(receive);
        thread::scope(|scope| {
            for _ in 0..self.how.downloads.max(1) {
                let send = send.clone();
                scope.spawn(move || {
                    while let Some((number, job)) = self.next_job() {
                        let fetched = self.fetch(job);
                        if self.note(fetched).is_some() {
                            // Nobody waits for it when all have failed.
                            let _ = send.send(number);
                        }
                    }
                });
            }
            drop(send);
            for _ in 0..UNPACKERS {
                scope.spawn(|| {
                    let next = || receive.lock().expect("a thread does not panic").recv();
                    while let Ok(number) = next() {
                        self.note(self.unpack(&self.jobs[number]));
                    }
                });
            }
        });
    }

    fn next_job(&self) -> Option<(usize, &Job<'_>)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Some((number, self.jobs.get(number)?))
    }

    /// The first failure is the one that is told, and all stop.
    fn note<T>(&self, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let mut failure = self.failure.lock().expect("a thread does not panic");
                if !matches!(error, Error::GivenUp) {
                    failure.get_or_insert(error);
                }
                self.has_failed.store(true, Ordering::Relaxed);
                None
            }
        }
    }

    fn go_on(&self) -> Result<(), Error> {
        match self.has_failed.load(Ordering::Relaxed) {
            true => Err(Error::GivenUp),
            false => Ok(()),
        }
    }

    /// Writes a blob into the scratch, as far as it is what its descriptor says.
    fn fetch(&self, job: &Job<'_>) -> Result<(), Error> {
        let blob = &job.layer.blob;
        let (digest, size) = (&blob.digest, blob.size);
        self.go_on()?;
        if job.is_there {
            self.how.progress.tell(Event::Known { blob: digest, size });
            return Ok(());
        }
        self.how
            .progress
            .tell(Event::Fetching { blob: digest, size });
        let mut reader = self.source.blob(blob)?;
        let mut file = self.scratch.create_blob(digest)?;
        let mut hasher = Hasher::new(digest.algorithm());
        let mut buffer = vec![0; PIECE];
        let mut total = 0;
        loop {
            self.go_on()?;
            let read = match reader.read(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                read => read.map_err(|cause| Error::Read {
                    blob: digest.clone(),
                    cause,
                })?,
            };
            if read == 0 {
                break;
            }
            total += read as u64;
            if total > size {
                let (blob, wanted) = (digest.clone(), size);
                return Err(Error::Long { blob, wanted });
            }
            hasher.update(&buffer[..read]);
            file.write_all(&buffer[..read])
                .map_err(|error| self.scratch.blob_fault(digest, &error))?;
            let bytes = read as u64;
            self.how.progress.tell(Event::Came {
                blob: digest,
                bytes,
            });
        }
        check(blob, total, hasher.finish())?;
        self.how.progress.tell(Event::Fetched { blob: digest });
        Ok(())
    }

    fn unpack(&self, job: &Job<'_>) -> Result<(), Error> {
        let blob = &job.layer.blob.digest;
        for place in &job.places {
            self.go_on()?;
            self.how.progress.tell(Event::Unpacking { blob });
            let file = match job.is_there {
                true => self.store.open_blob(&job.layer.blob)?,
                false => self.scratch.open_blob(blob)?,
            };
            let tree = self.scratch.make_layer(&tree_name(*place))?;
            let stream = Watched { file, crew: self };
            let unpacked = layer::unpack(stream, job.layer, tree.as_fd(), &self.how.unpacking)?;
            unpacked.dropped.warn(&job.layer.blob.digest);
            let (entries, bytes) = (unpacked.entries, unpacked.bytes);
            self.how.progress.tell(Event::Unpacked {
                blob,
                entries,
                bytes,
            });
            let mut made = self.made.lock().expect("a thread does not panic");
            made.insert(*place, unpacked);
        }
        Ok(())
    }
}

/// A blob that ends when another thread has failed.
struct Watched<'a> {
    file: File,
    crew: &'a Crew<'a>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.crew.go_on().map_err(std::io::Error::other)?;
        self.file.read(buffer)
    }
}

/// What is to be placed, and under which name.
fn made(layers: &[Layer], chain: &[Digest], place: usize, unpacked: &Unpacked) -> Made {
    let is_alone = unpacked.leanings.is_empty();
    Made {
        name: tree_name(place),
        record: LayerRecord {
            diff_id: layers[place].diff_id.clone(),
            chain_id: (!is_alone).then(|| chain[place].clone()),
            entries: unpacked.entries,
            bytes: unpacked.bytes,
        },
    }
}

/// The trees below a layer, bottom first: of the store, or made just now.
fn below(
    store: &Store,
    scratch: &Scratch,
    layers: &[Layer],
    chain: &[Digest],
    work: &Work,
) -> Result<Vec<OwnedFd>, Error> {
    let tree = |(layer, chain_id): (&Layer, &Digest)| {
        let is_it = |made: &&Made| [&layer.diff_id, chain_id].contains(&made.record.key());
        match work.layers.iter().find(is_it) {
            Some(made) => scratch.open_layer(&made.name),
            None => store.open_layer(&layer.diff_id, chain_id),
        }
    };
    let trees = layers.iter().zip(chain).map(tree);
    Ok(trees.collect::<Result<_, _>>()?)
}
