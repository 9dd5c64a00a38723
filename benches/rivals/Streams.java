import java.util.Properties;
import java.util.concurrent.CountDownLatch;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.sun.management.OperatingSystemMXBean;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.kstream.*;

/**
 * Kafka Streams and Jackson, one stream thread.
 *
 * <p>Streams BROKERS SOURCE SINK GROUP RECORDS at_least_once|exactly_once_v2
 *
 * <p>Reports, besides the whole run, where it stood after a quarter of the records: what follows ran on code
 * that the JIT compiler knew.
 */
public final class Streams {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final OperatingSystemMXBean SYSTEM =
        (OperatingSystemMXBean) java.lang.management.ManagementFactory.getOperatingSystemMXBean();

    // One thread writes these.
    private static volatile long records, alerts, warmCpu;
    private static volatile double first, warmFirst, last;

    private static double now() {
        return System.nanoTime() / 1e9;
    }

    private static final class JsonSerde implements Serde<JsonNode> {
        @Override public Serializer<JsonNode> serializer() {
            return (topic, node) -> {
                try {
                    return JSON.writeValueAsBytes(node);
                } catch (java.io.IOException e) {
                    throw new java.io.UncheckedIOException(e);
                }
            };
        }

        @Override public Deserializer<JsonNode> deserializer() {
            return (topic, bytes) -> {
                try {
                    return JSON.readTree(bytes);
                } catch (java.io.IOException e) {
                    throw new java.io.UncheckedIOException(e);
                }
            };
        }
    }

    public static void main(String[] args) throws Exception {
        long wanted = Long.parseLong(args[4]);
        Properties p = new Properties();
        p.put("bootstrap.servers", args[0]);
        p.put("application.id", args[3]);
        p.put("processing.guarantee", args[5]);
        p.put("commit.interval.ms", "100");
        p.put("num.stream.threads", "1");
        p.put("auto.offset.reset", "earliest");
        p.put("state.dir", "state");

        CountDownLatch done = new CountDownLatch(1);
        JsonSerde json = new JsonSerde();
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(args[1], Consumed.with(Serdes.ByteArray(), json))
            .filter((key, document) -> {
                boolean cold = isCold(document);
                count(wanted, done);
                return cold;
            })
            .mapValues(document -> {
                alerts++;
                return (JsonNode) ((ObjectNode) document).put("email", "grower@example.org");
            })
            .to(args[2], Produced.with(Serdes.ByteArray(), json));

        KafkaStreams streams = new KafkaStreams(builder.build(), p);
        streams.setUncaughtExceptionHandler(e -> {
            e.printStackTrace();
            System.exit(1);
            return null;
        });
        streams.start();
        done.await();
        // Commits what is open; leaves the group, so that it can be deleted.
        streams.close(CloseOptions.groupMembershipOperation(CloseOptions.GroupMembershipOperation.LEAVE_GROUP));
        long cpu = SYSTEM.getProcessCpuTime();
        System.out.printf(java.util.Locale.ROOT,
            "{\"records\":%d,\"alerts\":%d,\"first_s\":%.6f,\"last_s\":%.6f,"
                + "\"warm\":{\"records\":%d,\"first_s\":%.6f,\"cpu_s\":%.6f}}%n",
            records, alerts, first, last, records - wanted / 4, warmFirst, (cpu - warmCpu) / 1e9);
        System.exit(0);
    }

    private static boolean isCold(JsonNode document) {
        JsonNode station = document.path("station");
        return station.path("country_code").asText().equals("US")
            && station.path("state_code").asText().equals("AZ")
            && document.has("TMIN") && document.get("TMIN").asDouble() <= 10.0;
    }

    private static void count(long wanted, CountDownLatch done) {
        long n = ++records;
        if (n == 1) {
            first = now();
        }
        if (n == wanted / 4) {
            warmFirst = now();
            warmCpu = SYSTEM.getProcessCpuTime();
        }
        if (n == wanted) {
            last = now();
            done.countDown();
        }
    }
}
