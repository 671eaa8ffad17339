//! Blocks of rows as `docs/storage.md` describes them, read and written by hand.

/// Key and value.
pub(crate) type Row = (Vec<u8>, Vec<u8>);

/// Reads the rows of a block.
pub(crate) fn read(mut block: &[u8]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    while !block.is_empty() {
        let [shared, key, value] = [number(&mut block), number(&mut block), number(&mut block)];
        let before = rows.last().map(|(key, _)| &key[..shared]).unwrap_or_default();
        rows.push(([before, &block[..key]].concat(), block[key..key + value].to_vec()));
        block = &block[key + value..];
    }
    rows
}

/// Writes rows as a block in which no key is shortened.
pub(crate) fn write(rows: &[Row]) -> Vec<u8> {
    let row = |(key, value): &Row| {
        assert!(key.len() < 128 && value.len() < 128, "each length has one byte");
        [&[0, key.len() as u8, value.len() as u8], key.as_slice(), value].concat()
    };
    rows.iter().flat_map(row).collect()
}

/// Changes the rows of a tree's last block.
pub(crate) fn change_last(tree: &sled::Tree, change: impl FnOnce(&mut Vec<Row>)) {
    let (key, block) = tree.last().unwrap().unwrap();
    let mut rows = read(&block);
    change(&mut rows);
    tree.insert(key, write(&rows)).unwrap();
}

fn number(bytes: &mut &[u8]) -> usize {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        number |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    number
}
