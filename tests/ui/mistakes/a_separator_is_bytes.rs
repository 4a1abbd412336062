//! `reader.readuntil('\n')`

fn read(reader: &mut asyncio::StreamReader) {
    let _ = reader.readuntil('\n');
}

fn main() {}
