/* The limit: reads records with librdkafka, counts them, and throws them away. Nothing is parsed, nothing is
 * written, no offset is committed. A program on librdkafka cannot be faster.
 *
 * limit BROKERS SOURCE SINK GROUP RECORDS     (SINK is not used) */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "rdkafka.h"

#define BATCH 4096

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    const char *settings[][2] = {
        {"bootstrap.servers", argv[1]},
        {"group.id", argv[4]},
        {"auto.offset.reset", "earliest"},
        {"enable.auto.commit", "false"},
        /* With the default of 1000 ms a full queue stops the fetcher for a second. */
        {"fetch.queue.backoff.ms", "10"},
        {"queued.max.messages.kbytes", "16384"},
    };
    long wanted = atol(argv[5]), records = 0;
    char error[512];

    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], error, sizeof error) != RD_KAFKA_CONF_OK)
            return fprintf(stderr, "%s\n", error), 1;
    rd_kafka_t *consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
    if (!consumer) return fprintf(stderr, "%s\n", error), 1;
    rd_kafka_poll_set_consumer(consumer);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, argv[2], RD_KAFKA_PARTITION_UA);
    if (rd_kafka_subscribe(consumer, topics)) return 1;

    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(consumer);
    static rd_kafka_message_t *batch[BATCH];
    double first = 0;
    while (records < wanted) {
        ssize_t n = rd_kafka_consume_batch_queue(queue, 100, batch, BATCH);
        if (n < 0) return 1;
        if (n > 0 && !first) first = now();
        for (ssize_t i = 0; i < n; i++) {
            records += !batch[i]->err;
            rd_kafka_message_destroy(batch[i]);
        }
    }
    double last = now();
    rd_kafka_queue_destroy(queue);
    rd_kafka_consumer_close(consumer);
    printf("{\"records\":%ld,\"alerts\":null,\"first_s\":%.6f,\"last_s\":%.6f,\"version\":\"librdkafka %s\"}\n",
           records, first, last, rd_kafka_version_str());
    return 0;
}
