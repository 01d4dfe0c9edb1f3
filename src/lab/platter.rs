//! Files that are only in memory, and lose what was not synced when the power fails.
//!
//! The storage that runs in three terminals (`storage.rs`) writes here as it writes to a real disk.
//! What a power failure leaves is as hard as a real disk allows: of what was appended and not yet
//! synced, any first part, so that the last record may be torn; of a file that was renamed, either
//! name, until the names are synced.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::step::Random;
use crate::storage::Files;

/// The files of one simulated server.
#[derive(Clone, Debug, Default)]
pub struct Platter {
    files: BTreeMap<&'static str, File>,
    /// What a rename that is not yet durable replaced.
    renamed: Option<(&'static str, Option<File>)>,
    /// After so many operations the power fails.
    power_left: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct File {
    bytes: Vec<u8>,
    /// So many of them are safe.
    synced: usize,
}

impl Platter {
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
            self.files.remove(name);
            self.files.extend(replaced.map(|file| (name, file)));
        }
        for file in self.files.values_mut() {
            let kept = random.between(file.synced as u64, file.bytes.len() as u64);
            file.bytes.truncate(kept as usize);
            file.synced = kept as usize;
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

    fn file(&mut self, name: &'static str) -> &mut File {
        self.files.entry(name).or_default()
    }
}

impl Files for Platter {
    fn path(&self, name: &str) -> PathBuf {
        name.into()
    }

    fn read(&mut self, name: &'static str) -> Result<Option<Vec<u8>>, String> {
        Ok(self.files.get(name).map(|file| file.bytes.clone()))
    }

    fn read_part(&mut self, name: &'static str, from: u64, to: u64) -> Result<Vec<u8>, String> {
        let bytes = &self.files.get(name).ok_or_else(|| format!("there is no {name}"))?.bytes;
        let part = bytes.get(from as usize..to as usize);
        part.map(<[u8]>::to_vec).ok_or_else(|| format!("{name} is shorter"))
    }

    fn create(&mut self, name: &'static str) -> Result<(), String> {
        self.work()?;
        self.files.insert(name, File::default());
        Ok(())
    }

    fn append(&mut self, name: &'static str, bytes: &[u8]) -> Result<(), String> {
        // An append that the power does not outlast has written something, perhaps.
        let worked = self.work();
        self.file(name).bytes.extend_from_slice(bytes);
        worked
    }

    fn sync(&mut self, name: &'static str) -> Result<(), String> {
        self.work()?;
        let file = self.file(name);
        file.synced = file.bytes.len();
        Ok(())
    }

    fn cut(&mut self, name: &'static str, len: u64) -> Result<(), String> {
        self.work()?;
        let file = self.file(name);
        file.bytes.truncate(len as usize);
        file.synced = file.bytes.len();
        Ok(())
    }

    fn rename(&mut self, from: &'static str, to: &'static str) -> Result<(), String> {
        self.work()?;
        let file = self.files.remove(from).ok_or_else(|| format!("there is no {from}"))?;
        self.renamed = Some((to, self.files.insert(to, file)));
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

    fn text(platter: &mut Platter, name: &'static str) -> Option<String> {
        let bytes = platter.read(name).expect("reading takes no power");
        bytes.map(|bytes| String::from_utf8(bytes).expect("the tests write text"))
    }

    /// All that may be found when the power fails now.
    fn found(platter: &Platter, name: &'static str) -> BTreeSet<Option<String>> {
        let mut all = BTreeSet::new();
        for seed in 0..100 {
            let mut platter = platter.clone();
            platter.lose_unsynced(&mut Random(seed));
            all.insert(text(&mut platter, name));
        }
        all
    }

    fn texts<const N: usize>(texts: [&str; N]) -> BTreeSet<Option<String>> {
        texts.into_iter().map(|text| Some(text.to_string())).collect()
    }

    #[test]
    fn power_failure_leaves_any_first_part_of_what_was_not_synced() {
        let mut platter = Platter::default();
        platter.append("log", b"abc").unwrap();
        platter.sync("log").unwrap();
        platter.append("log", b"de").unwrap();
        assert_eq!(text(&mut platter, "log").as_deref(), Some("abcde"));
        assert_eq!(found(&platter, "log"), texts(["abc", "abcd", "abcde"]));
        platter.cut("log", 1).unwrap();
        assert_eq!(found(&platter, "log"), texts(["a"]));
    }

    #[test]
    fn power_failure_leaves_either_file_of_a_name_that_was_not_synced() {
        let mut platter = Platter::default();
        platter.append("vote", b"old").unwrap();
        platter.append("new", b"new").unwrap();
        platter.sync("vote").unwrap();
        platter.sync("new").unwrap();
        platter.rename("new", "vote").unwrap();
        assert_eq!(found(&platter, "vote"), texts(["old", "new"]));
        platter.sync_names().unwrap();
        assert_eq!(found(&platter, "vote"), texts(["new"]));
    }

    #[test]
    fn power_lasts_as_long_as_it_is_limited_to() {
        let mut platter = Platter::default();
        platter.limit_power(1);
        assert_eq!(platter.append("log", b"a"), Ok(()));
        assert!(platter.sync("log").is_err());
        assert!(platter.append("log", b"b").is_err());
        platter.lose_unsynced(&mut Random(1));
        assert_eq!(platter.sync("log"), Ok(()), "the power is back");
    }
}
