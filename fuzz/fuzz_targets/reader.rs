//! `StreamReader` compared with a naive model of it: what each read returns, waits for and leaves behind, for any
//! limit, any separators, and data that arrives in any pieces while a read waits.
#![no_main]

use asyncio::{Bytes, Error, Result, StreamReader};
use asyncio_fuzz::{Input, poll};
use futures_io::AsyncBufRead;
use std::{
    future::Future,
    pin::{Pin, pin},
};

/// An operation of the reader.
enum Ask {
    Read(usize),
    ReadToEnd,
    ReadExactly(usize),
    ReadLine,
    Next,
    ReadUntil(Vec<Vec<u8>>),
    /// Looks at the buffered data through a trait, and consumes so much of it.
    Lent(usize),
}

/// The outcome of a read. `None` is the end of the lines.
#[derive(Debug, PartialEq)]
enum Answer {
    Data(Option<Vec<u8>>),
    Incomplete(Vec<u8>, Option<usize>),
    Overrun(usize),
    Value,
    Failed,
}

impl From<Result<Option<Bytes>>> for Answer {
    fn from(outcome: Result<Option<Bytes>>) -> Answer {
        match outcome {
            Ok(data) => Answer::Data(data.map(Vec::from)),
            Err(Error::IncompleteRead(error)) => {
                Answer::Incomplete(error.partial().to_vec(), error.expected())
            }
            Err(Error::LimitOverrun(error)) => Answer::Overrun(error.consumed()),
            Err(Error::Value(_)) => Answer::Value,
            Err(_) => Answer::Failed,
        }
    }
}

struct Model {
    limit: usize,
    data: Vec<u8>,
    eof: bool,
    failed: bool,
    /// Whether the stream of lines has ended.
    lines_ended: bool,
}

impl Model {
    fn take(&mut self, count: usize) -> Vec<u8> {
        self.data.drain(..count).collect()
    }

    /// The outcome that the reader must return, or `None` if it has to wait.
    fn answer(&mut self, ask: &Ask, is_first: bool) -> Option<Answer> {
        if let Ask::ReadUntil(separators) = ask {
            if separators.iter().any(Vec::is_empty) || separators.is_empty() {
                return Some(Answer::Value);
            }
        }
        if matches!(ask, Ask::Next) && self.lines_ended {
            return Some(Answer::Data(None));
        }
        let failed = self.failed.then_some(Answer::Failed);
        let answer = match is_first && self.failed {
            true => failed,
            false => self.attempt(ask).or(failed),
        };
        if matches!(ask, Ask::Next) && matches!(answer, Some(Answer::Value | Answer::Failed)) {
            self.lines_ended = self.failed;
        }
        answer
    }

    fn attempt(&mut self, ask: &Ask) -> Option<Answer> {
        let (length, eof) = (self.data.len(), self.eof);
        match ask {
            Ask::Read(n) | Ask::Lent(n) => {
                let is_ready = *n == 0 && matches!(ask, Ask::Read(_)) || eof || length > 0;
                is_ready.then(|| Answer::Data(Some(self.take(length.min(*n)))))
            }
            Ask::ReadToEnd => eof.then(|| Answer::Data(Some(self.take(length)))),
            Ask::ReadExactly(n) if length >= *n => Some(Answer::Data(Some(self.take(*n)))),
            Ask::ReadExactly(n) => eof.then(|| Answer::Incomplete(self.take(length), Some(*n))),
            Ask::ReadUntil(separators) => match self.find(separators) {
                Ok(Some(end)) => Some(Answer::Data(Some(self.take(end)))),
                Ok(None) => eof.then(|| Answer::Incomplete(self.take(length), None)),
                Err(consumed) => Some(Answer::Overrun(consumed)),
            },
            Ask::ReadLine | Ask::Next => match self.find(&[b"\n".to_vec()]) {
                Ok(Some(end)) => Some(Answer::Data(Some(self.take(end)))),
                Ok(None) if eof => {
                    let rest = self.take(length);
                    let is_end = rest.is_empty() && matches!(ask, Ask::Next);
                    Some(Answer::Data((!is_end).then_some(rest)))
                }
                Ok(None) => None,
                Err(consumed) => {
                    let has_end = self.data.get(consumed) == Some(&b'\n');
                    self.take(if has_end { consumed + 1 } else { length });
                    Some(Answer::Value)
                }
            },
        }
    }

    /// The end of the first separator. If too much data precedes it, the error is how much.
    fn find(&self, separators: &[Vec<u8>]) -> Result<Option<usize>, usize> {
        for end in 1..=self.data.len() {
            let before = &self.data[..end];
            let ending = separators.iter().filter(|separator| before.ends_with(separator));
            if let Some(shortest) = ending.map(Vec::len).min() {
                let start = end - shortest;
                return if start > self.limit { Err(start) } else { Ok(Some(end)) };
            }
        }
        let longest = separators.iter().map(Vec::len).max().unwrap_or(0);
        let without = (self.data.len() + 1).saturating_sub(longest);
        if without > self.limit { Err(without) } else { Ok(None) }
    }
}

/// Runs the operation.
async fn read(reader: &mut StreamReader, ask: &Ask) -> Answer {
    let outcome = match ask {
        Ask::Read(n) => reader.read(*n).await.map(Some),
        Ask::ReadToEnd => reader.read_to_end().await.map(Some),
        Ask::ReadExactly(n) => reader.readexactly(*n).await.map(Some),
        Ask::ReadLine => reader.readline().await.map(Some),
        Ask::Next => reader.next().await.transpose(),
        Ask::ReadUntil(separators) => match &separators[..] {
            [one] => reader.readuntil(&one[..]).await.map(Some),
            _ => reader.readuntil(separators.clone()).await.map(Some),
        },
        Ask::Lent(n) => lent(reader, *n).await.map(Some),
    };
    outcome.into()
}

async fn lent(reader: &mut StreamReader, n: usize) -> Result<Bytes> {
    let read = std::future::poll_fn(|cx| {
        let there = Pin::new(&mut *reader).poll_fill_buf(cx);
        there.map(|data| data.map(|data| Bytes::copy_from_slice(&data[..n.min(data.len())])))
    });
    let data = read.await?;
    Pin::new(reader).consume(data.len());
    Ok(data)
}

fn ask(input: &mut Input<'_>) -> Ask {
    match input.below(8) {
        0 => Ask::Read(input.below(32)),
        1 => Ask::ReadToEnd,
        2 => Ask::ReadExactly(input.below(32)),
        3 => Ask::ReadLine,
        4 => Ask::Next,
        5 => Ask::Lent(input.below(32)),
        _ => {
            let separators = (0..input.below(5)).map(|_| {
                let length = input.below(4);
                input.take(length).to_vec()
            });
            Ask::ReadUntil(separators.collect())
        }
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let limit = 1 + input.below(24);
    let mut reader = StreamReader::new(limit).expect("a limit above zero");
    let feeder = reader.feeder();
    let mut model =
        Model { limit, data: Vec::new(), eof: false, failed: false, lines_ended: false };
    let happen = |input: &mut Input<'_>, model: &mut Model| match input.below(16) {
        0 => {
            feeder.feed_eof();
            model.eof = true;
        }
        1 => {
            feeder.set_exception(Error::runtime("it broke"));
            model.failed = true;
        }
        _ => {
            let length = input.below(20);
            let data = input.take(length);
            assert_eq!(feeder.feed_data(data.to_vec()).is_err(), model.eof);
            if !model.eof {
                model.data.extend_from_slice(data);
            }
        }
    };
    while !input.is_over() {
        if input.flag() {
            happen(&mut input, &mut model);
            continue;
        }
        let ask = ask(&mut input);
        let mut reading = pin!(read(&mut reader, &ask));
        let mut is_first = true;
        loop {
            let answer = poll(reading.as_mut() as Pin<&mut dyn Future<Output = Answer>>);
            let expected = match (&ask, &answer) {
                // Buffered data may be lent in pieces, and a poll may continue a cancelled read, so that data comes
                // before an error.
                (Ask::Lent(n), Some(Answer::Data(Some(piece)))) => {
                    assert!(!piece.is_empty() || *n == 0 || model.data.is_empty());
                    model.answer(&Ask::Lent(piece.len()), false)
                }
                _ => model.answer(&ask, is_first),
            };
            assert_eq!(answer, expected);
            is_first = false;
            // A cancelled read has read nothing.
            if expected.is_some() || input.is_over() || input.below(8) == 0 {
                break;
            }
            happen(&mut input, &mut model);
        }
    }
    assert_eq!(reader.at_eof(), model.eof && model.data.is_empty());
    model.eof = true;
    reader.feed_eof();
    let rest = poll(pin!(read(&mut reader, &Ask::ReadToEnd)));
    assert_eq!(rest, model.answer(&Ask::ReadToEnd, true));
});
