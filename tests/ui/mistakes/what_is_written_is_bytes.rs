//! `writer.write(5)`

fn write(writer: &asyncio::StreamWriter) {
    writer.write(5);
}

fn main() {}
