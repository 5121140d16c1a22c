//! Records that no client library writes: header names that are no text.
//!
//! Speaks the wire form of Kafka by hand, since every library refuses to write such a record.

use std::io::{Read, Write};
use std::net::TcpStream;

use actiwapi_dispatcher::broker::Producer;

use super::support::{Member, record, servers, with_topics};

#[tokio::test]
async fn a_header_whose_name_is_no_text_ends_nobody() {
    with_topics(1, |_, broker| async move {
        let headers: [(&[u8], &[u8]); 4] = [(b"good", b"1"), (b"\xff\xfe", b"2"), (b"", b"3"), (b"a\x00b", b"4")];
        produce_by_hand(&broker.topics().jobs, &headers);
        let producer = Producer::start(&broker).unwrap();
        producer.send_all(vec![record(&broker, 0, "after")]).await.unwrap();
        let mut member = Member::join(&broker);
        let records = member.read(2).await;
        assert_eq!(records[0].payload.as_deref(), Some(b"poison".as_slice()));
        let names: Vec<&str> = records[0].headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["good", "\u{fffd}", "", "a"]);
        assert_eq!(records[1].payload.as_deref(), Some(b"after".as_slice()));
        member.consumer.stop().await;
    })
    .await;
}

/// Writes one record with the value "poison" to partition 0 and waits for the answer.
fn produce_by_hand(topic: &str, headers: &[(&[u8], &[u8])]) {
    let batch = batch(headers);
    // Produce, version 3; correlation 7; no client id; no transaction; all replicas; 10 s; one topic, one partition.
    let mut body = vec![0, 0, 0, 3, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    body.extend(10_000_i32.to_be_bytes());
    body.extend(1_i32.to_be_bytes());
    body.extend(u16::try_from(topic.len()).unwrap().to_be_bytes());
    body.extend(topic.as_bytes());
    body.extend(1_i32.to_be_bytes());
    body.extend(0_i32.to_be_bytes());
    body.extend(u32::try_from(batch.len()).unwrap().to_be_bytes());
    body.extend(batch);
    let mut socket = TcpStream::connect(&servers()[0]).unwrap();
    socket.write_all(&u32::try_from(body.len()).unwrap().to_be_bytes()).unwrap();
    socket.write_all(&body).unwrap();
    let mut length = [0; 4];
    socket.read_exact(&mut length).unwrap();
    let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
    socket.read_exact(&mut answer).unwrap();
    // Correlation, number of topics, name, number of partitions, partition; then the code.
    let at = 4 + 4 + 2 + topic.len() + 4 + 4;
    assert_eq!(answer[at..at + 2], [0, 0], "the broker refuses the record");
}

/// Makes a batch of one record, without compression.
fn batch(headers: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut record = vec![0];
    record.extend([varint(0), varint(0), varint(-1), text(b"poison")].concat());
    record.extend(varint(i64::try_from(headers.len()).unwrap()));
    for (name, value) in headers {
        record.extend([text(name), text(value)].concat());
    }
    let record = [varint(i64::try_from(record.len()).unwrap()), record].concat();
    // Attributes, last offset delta, both timestamps, producer id, epoch and sequence (none), number of records.
    let mut checked = vec![0; 2 + 4];
    checked.extend([1_763_888_400_000_i64.to_be_bytes(); 2].concat());
    checked.extend([0xff; 8 + 2 + 4]);
    checked.extend(1_i32.to_be_bytes());
    checked.extend(record);
    // Base offset, length behind it, leader epoch (none), magic, checksum.
    let mut batch = vec![0; 8];
    batch.extend(u32::try_from(4 + 1 + 4 + checked.len()).unwrap().to_be_bytes());
    batch.extend([0xff, 0xff, 0xff, 0xff, 2]);
    batch.extend(crc32c(&checked).to_be_bytes());
    batch.extend(checked);
    batch
}

fn text(bytes: &[u8]) -> Vec<u8> {
    [varint(i64::try_from(bytes.len()).unwrap()), bytes.to_vec()].concat()
}

/// Zigzag, seven bits a byte.
fn varint(value: i64) -> Vec<u8> {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    let mut bytes = Vec::new();
    loop {
        let [low, ..] = rest.to_le_bytes();
        rest >>= 7;
        if rest == 0 {
            bytes.push(low & 0x7f);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 })
    };
    !bytes.iter().fold(u32::MAX, step)
}
