//! Storage over real folders: what survives, what is refused, what is mended.

#[cfg(test)]
mod backups;
#[cfg(test)]
mod blocks;
#[cfg(test)]
mod breaking_off;
#[cfg(test)]
mod children;
#[cfg(test)]
mod compacting;
#[cfg(test)]
mod concurrency;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod damage_trials;
#[cfg(test)]
mod durability;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod formats;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod model;
#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod verifying;
