use std::fs::File;
use std::io::Read as _;

use domain::ports::{Mappings, ProcessLimits};

/// What is read of the list of mappings at once, in bytes.
const PIECE: usize = 64 << 10;

/// This process, as Linux describes it; other systems do not say.
pub(crate) struct ThisProcess;

impl ProcessLimits for ThisProcess {
    fn mappings(&self) -> Option<Mappings> {
        let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse().ok()?;
        let count = lines(&mut File::open("/proc/self/maps").ok()?).ok()?;
        Some(Mappings { count, limit })
    }
}

/// Counts lines without keeping them: each mapping is one.
fn lines(file: &mut File) -> std::io::Result<u64> {
    let mut piece = vec![0; PIECE];
    let mut count = 0;
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(count),
            read => count += piece.iter().take(read).filter(|byte| **byte == b'\n').count() as u64,
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn linux_says_how_many_mappings_there_are_and_may_be() {
        let mappings = ThisProcess.mappings().unwrap();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap().lines().count() as u64;
        assert!(mappings.count.abs_diff(maps) < 100, "{mappings:?}, {maps} lines");
        assert!(mappings.limit > mappings.count, "{mappings:?}");
    }
}
