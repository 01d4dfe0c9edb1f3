//! Files in memory. When the power fails they lose what was not synced.
//!
//! The storage of real nodes (`storage.rs`) writes here as it writes to a real disk. A power
//! failure does all the harm that a real disk allows:
//! - Of bytes that were appended and not synced, any first part is left: the last record may be
//!   torn.
//! - Of bytes that were written over space, any sectors are left.
//! - A renamed file has the old name or the new one, until the names are synced.

use std::path::PathBuf;

use crate::node::step::Random;
use crate::storage::{Files, SECTOR};

/// The files of one simulated server.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles {
    /// By name, in order: only a few.
    files: Vec<(&'static str, File)>,
    /// What a rename that is not yet durable replaced.
    renamed: Option<(&'static str, Option<File>)>,
    /// After so many operations the power fails.
    power_left: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct File {
    bytes: Vec<u8>,
    /// What is safe.
    synced: Vec<u8>,
    /// Where the next bytes go: at the end, but for what it was filled up with.
    end: usize,
    /// Up to here `bytes` are what is `synced`.
    unchanged: usize,
}

impl File {
    fn write(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        self.bytes.resize(self.bytes.len().max(end), b' ');
        self.bytes[at..end].copy_from_slice(bytes);
        self.unchanged = self.unchanged.min(at);
    }

    fn sync(&mut self) {
        self.synced.truncate(self.unchanged);
        self.synced.extend_from_slice(&self.bytes[self.unchanged..]);
        self.unchanged = self.bytes.len();
    }

    /// The power has failed: each sector is as it was or as it was to be, and the file has any
    /// length between.
    fn lose_unsynced(&mut self, random: &mut Random) {
        let old = self.synced.len();
        for start in (0..old).step_by(SECTOR) {
            let sector = start..(start + SECTOR).min(old);
            if sector.end > self.unchanged && random.between(0, 1) == 0 {
                self.bytes[sector.clone()].copy_from_slice(&self.synced[sector]);
            }
        }
        self.bytes.truncate(random.between(old as u64, self.bytes.len() as u64) as usize);
        (self.end, self.unchanged) = (self.bytes.len(), 0);
        self.sync();
    }
}

impl MemoryFiles {
    /// The power will fail after so many operations: none comes to an end after that.
    pub fn limit_power(&mut self, operations: u64) {
        self.power_left = Some(operations);
    }

    /// The power has failed, and is back. Chance says what is left of what was not synced.
    pub fn lose_unsynced(&mut self, random: &mut Random) {
        self.power_left = None;
        if let Some((name, replaced)) = self.renamed.take()
            && random.between(0, 1) == 0
        {
            self.remove(name);
            if let Some(replaced) = replaced {
                *self.file(name) = replaced;
            }
        }
        for (_, file) in &mut self.files {
            file.lose_unsynced(random);
        }
    }

    /// One more operation, if there is power for it.
    fn work(&mut self) -> Result<(), String> {
        match &mut self.power_left {
            Some(0) => return Err("the power has failed".to_string()),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(())
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.files.binary_search_by_key(&name, |(name, _)| name)
    }

    /// A file, which is created if it is not there.
    fn file(&mut self, name: &'static str) -> &mut File {
        let place = self.place(name).unwrap_or_else(|place| {
            self.files.insert(place, (name, File::default()));
            place
        });
        &mut self.files[place].1
    }

    fn found(&self, name: &str) -> Option<&File> {
        self.place(name).ok().map(|place| &self.files[place].1)
    }

    fn remove(&mut self, name: &str) -> Option<File> {
        self.place(name).ok().map(|place| self.files.remove(place).1)
    }
}

impl Files for MemoryFiles {
    /// So little that a short run meets its end again and again.
    const SPACE_AHEAD: u64 = 2 * SECTOR as u64;

    fn path(&self, name: &str) -> PathBuf {
        name.into()
    }

    fn read(&mut self, name: &'static str) -> Result<Option<Vec<u8>>, String> {
        Ok(self.found(name).map(|file| file.bytes.clone()))
    }

    fn read_part(&mut self, name: &'static str, from: u64, to: u64) -> Result<Vec<u8>, String> {
        let bytes = &self.found(name).ok_or_else(|| format!("there is no {name}"))?.bytes;
        let part = bytes.get(from as usize..to as usize);
        part.map(<[u8]>::to_vec).ok_or_else(|| format!("{name} is shorter"))
    }

    fn create(&mut self, name: &'static str) -> Result<(), String> {
        self.work()?;
        *self.file(name) = File::default();
        Ok(())
    }

    fn append(&mut self, name: &'static str, bytes: &[u8]) -> Result<(), String> {
        // An append that the power does not outlast has written something, perhaps.
        let worked = self.work();
        let file = self.file(name);
        file.write(file.end, bytes);
        file.end += bytes.len();
        worked
    }

    fn fill(&mut self, name: &'static str, count: u64) -> Result<(), String> {
        self.work()?;
        let file = self.file(name);
        file.write(file.end, &vec![b' '; count as usize]);
        Ok(())
    }

    fn sync(&mut self, name: &'static str) -> Result<(), String> {
        self.work()?;
        self.file(name).sync();
        Ok(())
    }

    fn cut(&mut self, name: &'static str, len: u64) -> Result<(), String> {
        self.work()?;
        let file = self.file(name);
        file.bytes.truncate(len as usize);
        (file.end, file.unchanged) = (file.bytes.len(), file.unchanged.min(len as usize));
        file.sync();
        Ok(())
    }

    fn rename(&mut self, from: &'static str, to: &'static str) -> Result<(), String> {
        self.work()?;
        let file = self.remove(from).ok_or_else(|| format!("there is no {from}"))?;
        self.renamed = Some((to, self.remove(to)));
        *self.file(to) = file;
        Ok(())
    }

    fn sync_names(&mut self) -> Result<(), String> {
        self.work()?;
        self.renamed = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn text(files: &mut MemoryFiles, name: &'static str) -> Option<String> {
        let bytes = files.read(name).expect("reading takes no power");
        bytes.map(|bytes| String::from_utf8(bytes).expect("the tests write text"))
    }

    /// All that may be found when the power fails now.
    fn found(files: &MemoryFiles, name: &'static str) -> BTreeSet<Option<String>> {
        let mut all = BTreeSet::new();
        for seed in 0..100 {
            let mut files = files.clone();
            files.lose_unsynced(&mut Random(seed));
            all.insert(text(&mut files, name));
        }
        all
    }

    fn texts<const N: usize>(texts: [&str; N]) -> BTreeSet<Option<String>> {
        texts.into_iter().map(|text| Some(text.to_string())).collect()
    }

    #[test]
    fn power_failure_leaves_any_first_part_of_what_was_not_synced() {
        let mut files = MemoryFiles::default();
        files.append("log", b"abc").unwrap();
        files.sync("log").unwrap();
        files.append("log", b"de").unwrap();
        assert_eq!(text(&mut files, "log").as_deref(), Some("abcde"));
        assert_eq!(found(&files, "log"), texts(["abc", "abcd", "abcde"]));
        files.cut("log", 1).unwrap();
        assert_eq!(found(&files, "log"), texts(["a"]));
    }

    #[test]
    fn power_failure_leaves_any_sectors_of_what_was_written_over_space() {
        let mut files = MemoryFiles::default();
        files.append("log", b"abc").unwrap();
        files.fill("log", 2 * SECTOR as u64 - 3).unwrap();
        files.sync("log").unwrap();
        assert_eq!(found(&files, "log").len(), 1, "all is safe");
        files.append("log", "x".repeat(SECTOR).as_bytes()).unwrap();
        let parts = |text: Option<String>| {
            let text = text.expect("the file is there");
            assert_eq!(text.len(), 2 * SECTOR);
            (text[..SECTOR].trim_end().len(), text[SECTOR..].trim_end().len())
        };
        let left: BTreeSet<_> = found(&files, "log").into_iter().map(parts).collect();
        assert_eq!(left, BTreeSet::from([(3, 0), (3, 3), (SECTOR, 0), (SECTOR, 3)]));
    }

    #[test]
    fn power_failure_leaves_either_file_of_a_name_that_was_not_synced() {
        let mut files = MemoryFiles::default();
        files.append("vote", b"old").unwrap();
        files.append("new", b"new").unwrap();
        files.sync("vote").unwrap();
        files.sync("new").unwrap();
        files.rename("new", "vote").unwrap();
        assert_eq!(found(&files, "vote"), texts(["old", "new"]));
        files.sync_names().unwrap();
        assert_eq!(found(&files, "vote"), texts(["new"]));
    }

    #[test]
    fn power_lasts_as_long_as_it_is_limited_to() {
        let mut files = MemoryFiles::default();
        files.limit_power(1);
        assert_eq!(files.append("log", b"a"), Ok(()));
        assert!(files.sync("log").is_err());
        assert!(files.append("log", b"b").is_err());
        files.lose_unsynced(&mut Random(1));
        assert_eq!(files.sync("log"), Ok(()), "the power is back");
    }
}
