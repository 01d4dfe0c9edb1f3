//! What a process costs: the time of its processors and its memory, as far as the system tells.
//! Linux does, in /proc; elsewhere nothing is known, and nothing is said.

use std::fs;
use std::net::ToSocketAddrs;
use std::path::Path;
use std::time::Duration;

/// The clock of /proc/N/stat ticks a hundred times a second, whatever the kernel's own does.
const TICK: Duration = Duration::from_millis(10);

/// The time that all threads of a process have spent on processors.
pub fn cpu(process: u32) -> Option<Duration> {
    cpu_of(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

fn cpu_of(stat: &str) -> Option<Duration> {
    // The name of the program may hold anything, but it ends with the last bracket. Of what comes
    // behind, the 12th and 13th are the ticks in user mode and in the kernel (proc_pid_stat(5)).
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    Some(TICK * (ticks()? + ticks()?))
}

/// The memory that a process has now, in bytes.
pub fn memory_bytes(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(1024 * line.split_whitespace().next()?.parse::<u64>().ok()?)
}

/// The process of this machine that listens at an address, if we may know.
pub fn behind(address: &str) -> Option<u32> {
    let address = address.to_socket_addrs().ok()?.find(|address| address.ip().is_loopback())?;
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|path| {
        let sockets = fs::read_to_string(path).ok()?;
        listener(&sockets, address.port()).map(str::to_string)
    })?;
    let socket = format!("socket:[{inode}]");
    let entries = fs::read_dir("/proc").ok()?.flatten();
    let mut processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    processes.find(|process| has_open(*process, &socket))
}

/// The inode of the socket that listens at this port.
fn listener(sockets: &str, port: u16) -> Option<&str> {
    const LISTENS: &str = "0A";
    let port = format!(":{port:04X}");
    sockets.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it = fields.get(1)?.ends_with(&port) && *fields.get(3)? == LISTENS;
        is_it.then_some(*fields.get(9)?)
    })
}

fn has_open(process: u32, socket: &str) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|to| to == Path::new(socket)))
}

/// The kind of file system on which a directory lies: `ext4`, or `tmpfs`, which is no disk.
pub fn file_system(directory: &Path) -> Option<String> {
    let directory = fs::canonicalize(directory).ok()?;
    file_system_of(&fs::read_to_string("/proc/mounts").ok()?, &directory).map(str::to_string)
}

fn file_system_of<'a>(mounts: &'a str, directory: &Path) -> Option<&'a str> {
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let above = fields.filter(|fields| fields.len() > 2 && directory.starts_with(fields[1]));
    // The innermost; of several at one place the last hides the others.
    above.max_by_key(|fields| fields[1].len()).map(|fields| fields[2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_system_of_is_that_of_the_innermost_mount() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\nb /tmp/b xfs rw 0 0\n";
        let found = |directory| file_system_of(mounts, Path::new(directory));
        assert_eq!(found("/home"), Some("ext4"));
        assert_eq!(found("/tmp/x"), Some("tmpfs"));
        assert_eq!(found("/tmp/b/c"), Some("xfs"));
        assert_eq!(found("/tmpx"), Some("ext4"));
        assert_eq!(file_system_of("", Path::new("/")), None);
    }

    #[test]
    fn cpu_of_adds_user_and_kernel_behind_the_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 150 25 0 0 20 0 9 0 1 2 3";
        assert_eq!(cpu_of(stat), Some(Duration::from_millis(1750)));
        assert_eq!(cpu_of("7 (a) S 1"), None);
    }

    #[test]
    fn listener_is_the_socket_that_listens_there() {
        let sockets = "  sl  local_address rem_address   st\n\
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 77 1\n\
             1: 0100007F:1F91 0100007F:1F90 01 00000000:00000000 00:00000000 00000000 0 0 78 1\n";
        assert_eq!(listener(sockets, 8080), Some("77"));
        assert_eq!(listener(sockets, 8081), None, "it is connected");
        assert_eq!(listener(sockets, 80), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn behind_finds_this_process_and_what_it_costs() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let process = behind(&listener.local_addr().unwrap().to_string()).unwrap();
        assert_eq!(process, std::process::id());
        assert!(cpu(process).is_some() && memory_bytes(process) > Some(100_000));
    }
}
