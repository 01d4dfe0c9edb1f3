//! What storage does with files: a handful of operations, and the real files that they are done on.
//!
//! Between any two of them the power may fail. What was appended or filled is durable after `sync`,
//! a new name after `sync_names`, a cut at once. Until then a disk may have written any of its
//! sectors and others not, but each whole or not at all.
//! The lab has files of its own that do the same and really lose the rest
//! (`lab/memory_files.rs`): so the lab tests the storage that runs here.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use crate::node::message::NodeId;

/// What a disk writes whole or not at all, in bytes: the smallest that is common.
pub const SECTOR: usize = 512;

/// The files of one node. Errors are one line for people, which names the file.
pub trait Files {
    /// How much space a file is filled up with ahead: some sectors.
    const SPACE_AHEAD: u64;

    /// Where a file is, for people.
    fn path(&self, name: &str) -> PathBuf;

    /// All bytes of a file, if it is there.
    fn read(&mut self, name: &'static str) -> Result<Option<Vec<u8>>, String>;

    /// The bytes of a file between these two places, which it has.
    fn read_part(&mut self, name: &'static str, from: u64, to: u64) -> Result<Vec<u8>, String>;

    /// Makes an empty file, in the place of any other of this name.
    fn create(&mut self, name: &'static str) -> Result<(), String>;

    /// Writes behind the last byte of a file, which is made if need be; but over what it was filled
    /// up with.
    fn append(&mut self, name: &'static str, bytes: &[u8]) -> Result<(), String>;

    /// Fills a file up with so many spaces, over which the next bytes will be written.
    fn fill(&mut self, name: &'static str, count: u64) -> Result<(), String>;

    /// Makes durable what was appended to a file.
    fn sync(&mut self, name: &'static str) -> Result<(), String>;

    /// Cuts a file off at this length, durably.
    fn cut(&mut self, name: &'static str, len: u64) -> Result<(), String>;

    /// Gives a file the name of another, and so takes its place.
    fn rename(&mut self, from: &'static str, to: &'static str) -> Result<(), String>;

    /// Makes names durable: of new files, renamed ones, removed ones.
    fn sync_names(&mut self) -> Result<(), String>;
}

/// A node's own directory, locked for this process.
#[derive(Debug)]
pub struct Directory {
    dir: PathBuf,
    /// The files that were written to; each stands where the next bytes go.
    open: Vec<(&'static str, File)>,
    /// Held, not used: the lock lasts as long as this file is open.
    _lock: Arc<File>,
}

impl Directory {
    /// Takes a directory for this process, and creates it if need be.
    ///
    /// # Errors
    /// Another process has it, or it cannot be written.
    pub fn open(dir: &Path, id: NodeId) -> Result<Directory, String> {
        create_dir(dir)?;
        let path = dir.join("lock");
        let lock = File::create(&path).map_err(failed("open", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Directory { dir: dir.into(), open: Vec::new(), _lock: Arc::new(lock) }),
            Err(TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
            Err(TryLockError::WouldBlock) => Err(format!(
                "{} is in use by another process: is node {} already running?",
                dir.display(),
                id.0
            )),
        }
    }

    /// The same directory, for another thread of this process. Each must keep to its own files, but
    /// for reading.
    pub fn share(&self) -> Directory {
        let (dir, lock) = (self.dir.clone(), Arc::clone(&self._lock));
        Directory { dir, open: Vec::new(), _lock: lock }
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.open.iter().position(|&(open, _)| open == name)
    }

    /// A file that is open is so no more.
    fn take(&mut self, name: &str) -> Option<File> {
        self.place(name).map(|place| self.open.swap_remove(place).1)
    }

    /// Removes a file; true if it was there.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&mut self, name: &'static str) -> Result<bool, String> {
        self.take(name);
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            removed => removed.map(|()| true).map_err(failed("remove", &path)),
        }
    }

    /// Does something with a file, opened for the purpose if it is not.
    fn with(
        &mut self,
        name: &'static str,
        verb: &str,
        work: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<(), String> {
        let place = match self.place(name) {
            Some(place) => place,
            None => {
                let path = self.path(name);
                self.open.push((name, open(&path).map_err(failed("open", &path))?));
                self.open.len() - 1
            }
        };
        let file = &mut self.open[place].1;
        work(file).map_err(|error| failed(verb, &self.path(name))(error))
    }
}

impl Files for Directory {
    const SPACE_AHEAD: u64 = 64 * 1024;

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn read(&mut self, name: &'static str) -> Result<Option<Vec<u8>>, String> {
        let path = self.path(name);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some).map_err(failed("read", &path)),
        }
    }

    fn read_part(&mut self, name: &'static str, from: u64, to: u64) -> Result<Vec<u8>, String> {
        let path = self.path(name);
        let read = || {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = vec![0; (to - from) as usize];
            file.read_exact(&mut bytes).map(|()| bytes)
        };
        read().map_err(failed("read", &path))
    }

    fn create(&mut self, name: &'static str) -> Result<(), String> {
        let path = self.path(name);
        let file = File::create(&path).map_err(failed("write", &path))?;
        self.take(name);
        self.open.push((name, file));
        Ok(())
    }

    fn append(&mut self, name: &'static str, bytes: &[u8]) -> Result<(), String> {
        self.with(name, "write", |file| file.write_all(bytes))
    }

    fn fill(&mut self, name: &'static str, count: u64) -> Result<(), String> {
        self.with(name, "write", |file| {
            file.write_all(&vec![b' '; count as usize])?;
            file.seek(SeekFrom::Current(-(count as i64))).map(drop)
        })
    }

    fn sync(&mut self, name: &'static str) -> Result<(), String> {
        self.with(name, "write", |file| file.sync_data())
    }

    fn cut(&mut self, name: &'static str, len: u64) -> Result<(), String> {
        self.with(name, "cut", |file| {
            file.set_len(len)?;
            file.sync_all()?;
            file.seek(SeekFrom::Start(len)).map(|_| ())
        })
    }

    fn rename(&mut self, from: &'static str, to: &'static str) -> Result<(), String> {
        let path = self.path(to);
        self.take(from);
        let replaced = self.take(to);
        fs::rename(self.path(from), &path).map_err(failed("replace", &path))?;
        if let Some(file) = replaced {
            // Nothing leads to it any more: the system frees it when it is closed, and if it is
            // large, that takes long. Without a thread it is closed here.
            let _ = thread::Builder::new().spawn(move || drop(file));
        }
        Ok(())
    }

    fn sync_names(&mut self) -> Result<(), String> {
        sync_dir(&self.dir)
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    file.seek(SeekFrom::End(0))?;
    Ok(file)
}

/// Creates a directory and those above it, so that they are still there after a power failure.
fn create_dir(dir: &Path) -> Result<(), String> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.is_dir()).collect();
    fs::create_dir_all(dir).map_err(failed("create", dir))?;
    missing.iter().filter_map(|dir| dir.parent()).try_for_each(sync_dir)
}

/// Only Unix opens a directory as a file.
fn sync_dir(dir: &Path) -> Result<(), String> {
    if !cfg!(unix) {
        return Ok(());
    }
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("sync", dir))
}

/// One line for people about a file that would not do.
fn failed(what: &str, path: &Path) -> impl FnOnce(io::Error) -> String {
    move |error| {
        let path = path.display();
        format!("cannot {what} {path}: {error}. Mend the disk or its permissions and start again")
    }
}
