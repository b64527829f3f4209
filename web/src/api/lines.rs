//! A body of lines, taken apart as it comes in.

use axum::body::{Body, Bytes};
use futures::StreamExt as _;
use futures::stream::{self, Stream};

/// What was found in a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, without its end.
    Whole(Vec<u8>),
    /// A line that is longer than a line may be; the rest of it is passed over.
    TooLong,
    /// The body ended before its end, and perhaps in the middle of a line, which does not count.
    Broken,
}

struct Reading<S> {
    chunks: S,
    /// What came in and was not handed on, and how much of it was searched for the end of a line.
    buffer: Vec<u8>,
    searched: usize,
    /// In the middle of a line that is too long.
    passing_over: bool,
    ended: bool,
}

/// The lines of a body that are not empty, each with its number from 1.
pub(super) fn lines(body: Body, longest: usize) -> impl Stream<Item = (usize, Line)> {
    split(body.into_data_stream().map(|chunk| chunk.map_err(drop)), longest)
}

fn split(chunks: impl Stream<Item = Result<Bytes, ()>>, longest: usize) -> impl Stream<Item = (usize, Line)> {
    let reading = Reading {
        chunks: Box::pin(chunks),
        buffer: Vec::new(),
        searched: 0,
        passing_over: false,
        ended: false,
    };
    let found = stream::unfold(reading, move |mut reading| async move {
        let line = reading.next(longest).await?;
        Some((line, reading))
    });
    let is_empty = |line: &Line| matches!(line, Line::Whole(text) if text.trim_ascii().is_empty());
    found
        .enumerate()
        .map(|(position, line)| (position + 1, line))
        .filter(move |(_, line)| std::future::ready(!is_empty(line)))
}

impl<S: Stream<Item = Result<Bytes, ()>> + Unpin> Reading<S> {
    async fn next(&mut self, longest: usize) -> Option<Line> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|&byte| byte == b'\n') {
                let at = self.searched + at;
                let rest = self.buffer.split_off(at + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                self.searched = 0;
                line.pop();
                let passed_over = std::mem::take(&mut self.passing_over);
                return Some(if passed_over || line.len() > longest {
                    Line::TooLong
                } else {
                    Line::Whole(line)
                });
            }
            self.searched = self.buffer.len();
            if self.searched > longest {
                self.passing_over = true;
                self.buffer.clear();
                self.searched = 0;
            }
            if self.ended {
                return None;
            }
            match self.chunks.next().await {
                Some(Ok(chunk)) => self.buffer.extend_from_slice(&chunk),
                Some(Err(())) => {
                    self.ended = true;
                    self.searched = 0;
                    self.buffer.clear();
                    return Some(Line::Broken);
                }
                // The last line may come without its end.
                None => {
                    self.ended = true;
                    if self.passing_over || !self.buffer.is_empty() {
                        self.buffer.push(b'\n');
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn found(chunks: &[Result<&'static str, ()>], longest: usize) -> Vec<(usize, Line)> {
        let chunks: Vec<Result<Bytes, ()>> =
            chunks.iter().map(|chunk| chunk.map(|text| Bytes::from_static(text.as_bytes()))).collect();
        split(stream::iter(chunks), longest).collect().await
    }

    fn whole(number: usize, text: &str) -> (usize, Line) {
        (number, Line::Whole(text.as_bytes().to_vec()))
    }

    #[tokio::test]
    async fn lines_are_found_however_they_are_cut() {
        let expected = [whole(1, "one"), whole(3, "three"), whole(4, "four")];
        assert_eq!(found(&[Ok("one\n\nthree\nfour")], 10).await, expected);
        assert_eq!(found(&[Ok("o"), Ok("ne\n \nthr"), Ok("ee\nfour\n"), Ok("")], 10).await, expected);
        assert_eq!(found(&[], 10).await, []);
        assert_eq!(found(&[Ok("one\ntw"), Err(())], 10).await, [whole(1, "one"), (2, Line::Broken)]);
    }

    #[tokio::test]
    async fn what_is_too_long_is_passed_over_and_held_nowhere() {
        let expected = [(1, Line::TooLong), whole(2, "two")];
        assert_eq!(found(&[Ok("toolong\ntwo")], 3).await, expected);
        assert_eq!(found(&[Ok("tool"), Ok("ong"), Ok("er\ntwo")], 3).await, expected);
        assert_eq!(found(&[Ok("toolong")], 3).await, [(1, Line::TooLong)]);
    }
}
