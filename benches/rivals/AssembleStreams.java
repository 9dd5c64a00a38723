import java.time.Duration;
import java.util.*;
import java.util.concurrent.CountDownLatch;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.sun.management.OperatingSystemMXBean;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.*;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.*;

/**
 * The stateful job on Kafka Streams and Jackson, one stream thread: GHCN lines become observations. The open
 * observation of each station is in a persistent store with its cache and changelog; the line of another day, or
 * a second without lines, completes it. The station comes from a global table.
 *
 * <p>AssembleStreams BROKERS SOURCE SINK GROUP RECORDS at_least_once|exactly_once_v2 STATIONS
 */
public final class AssembleStreams {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Set<String> WHOLE = Set.of("SNOW", "SNWD");

    private static final OperatingSystemMXBean SYSTEM =
        (OperatingSystemMXBean) java.lang.management.ManagementFactory.getOperatingSystemMXBean();

    private static volatile long records, observations, warmCpu;
    private static volatile double first, warmFirst, last;

    private static final class Assemble implements Processor<String, String, String, byte[]> {
        private final long wanted;
        private final CountDownLatch done;
        private ProcessorContext<String, byte[]> context;
        private KeyValueStore<String, byte[]> open;
        private KeyValueStore<String, ValueAndTimestamp<byte[]>> stations;
        private long seenBefore;

        Assemble(long wanted, CountDownLatch done) {
            this.wanted = wanted;
            this.done = done;
        }

        @Override public void init(ProcessorContext<String, byte[]> context) {
            this.context = context;
            open = context.getStateStore("open");
            stations = context.getStateStore("stations");
            context.schedule(Duration.ofSeconds(1), PunctuationType.WALL_CLOCK_TIME, this::whenIdle);
        }

        @Override public void process(Record<String, String> line) {
            String[] fields = line.value().split(",", -1);
            try {
                byte[] before = open.get(line.key());
                ObjectNode observation = before == null ? null : (ObjectNode) JSON.readTree(before);
                if (observation == null || !observation.get("date").asText().equals(fields[1])) {
                    if (observation != null) {
                        emit(line.key(), observation, line.timestamp());
                    }
                    observation = JSON.createObjectNode().put("date", fields[1]);
                }
                int value = Integer.parseInt(fields[3]);
                if (WHOLE.contains(fields[2])) {
                    observation.put(fields[2], value);
                } else {
                    observation.put(fields[2], value / 10.0);
                }
                open.put(line.key(), JSON.writeValueAsBytes(observation));
            } catch (java.io.IOException e) {
                throw new java.io.UncheckedIOException(e);
            }
            long n = ++records;
            if (n == 1) {
                first = System.nanoTime() / 1e9;
            }
            if (n == wanted / 4) {
                warmFirst = System.nanoTime() / 1e9;
                warmCpu = SYSTEM.getProcessCpuTime();
            }
        }

        private void whenIdle(long now) {
            if (seenBefore != records) {
                seenBefore = records;
                return;
            }
            List<String> keys = new ArrayList<>();
            try (KeyValueIterator<String, byte[]> all = open.all()) {
                while (all.hasNext()) {
                    KeyValue<String, byte[]> each = all.next();
                    emit(each.key, (ObjectNode) JSON.readTree(each.value), now);
                    keys.add(each.key);
                }
            } catch (java.io.IOException e) {
                throw new java.io.UncheckedIOException(e);
            }
            keys.forEach(open::delete);
            if (!keys.isEmpty()) {
                last = System.nanoTime() / 1e9;
            } else if (records == wanted) {
                // Every task had its turn a second ago.
                done.countDown();
            }
        }

        private void emit(String station, ObjectNode observation, long timestamp) throws java.io.IOException {
            ObjectNode document = JSON.createObjectNode();
            document.set("station", JSON.readTree(stations.get(station).value()));
            String date = observation.remove("date").asText();
            document.put("date", date.substring(0, 4) + "-" + date.substring(4, 6) + "-" + date.substring(6)
                + "T00:00:00");
            document.setAll(observation);
            if (observation.has("TMIN") && observation.has("TMAX")) {
                document.putObject("TRANGE").put("gte", observation.get("TMIN").asDouble())
                    .put("lte", observation.get("TMAX").asDouble());
            }
            observations++;
            context.forward(new Record<>(station, JSON.writeValueAsBytes(document), timestamp));
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
        StreamsBuilder builder = new StreamsBuilder();
        builder.globalTable(args[6], Materialized.<String, byte[], KeyValueStore<Bytes, byte[]>>as("stations")
            .withKeySerde(Serdes.String()).withValueSerde(Serdes.ByteArray()));
        builder.addStateStore(Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("open"), Serdes.String(),
            Serdes.ByteArray()).withCachingEnabled());
        builder.stream(args[1], Consumed.with(Serdes.String(), Serdes.String()))
            .process(() -> new Assemble(wanted, done), "open")
            .to(args[2], Produced.with(Serdes.String(), Serdes.ByteArray()));

        KafkaStreams streams = new KafkaStreams(builder.build(), p);
        streams.setUncaughtExceptionHandler(e -> {
            e.printStackTrace();
            System.exit(1);
            return null;
        });
        streams.start();
        done.await();
        streams.close(CloseOptions.groupMembershipOperation(CloseOptions.GroupMembershipOperation.LEAVE_GROUP));
        long cpu = SYSTEM.getProcessCpuTime();
        System.out.printf(Locale.ROOT, "{\"records\":%d,\"alerts\":null,\"observations\":%d,\"first_s\":%.6f,"
            + "\"last_s\":%.6f,\"warm\":{\"records\":%d,\"first_s\":%.6f,\"cpu_s\":%.6f}}%n",
            records, observations, first, last, records - wanted / 4, warmFirst, (cpu - warmCpu) / 1e9);
        System.exit(0);
    }
}
