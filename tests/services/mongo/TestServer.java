import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.util.List;

/** An empty MongoDB in memory. Prints its URI and lives until standard input ends. */
public class TestServer {
  /** New drivers refuse the wire version that the server tells by itself. */
  private static final class Version44 implements MongoVersion {
    @Override
    public List<Integer> getVersionArray() {
      return List.of(4, 4, 0, 0);
    }

    @Override
    public int getWireVersion() {
      return 9;
    }

    @Override
    public String toVersionString() {
      return "4.4.0";
    }
  }

  public static void main(String[] arguments) throws Exception {
    MemoryBackend backend = new MemoryBackend();
    backend.version(new Version44());
    MongoServer server = new MongoServer(backend);
    int port = arguments.length > 0 ? Integer.parseInt(arguments[0]) : 0;
    server.bind("127.0.0.1", port);
    System.out.println("mongodb://127.0.0.1:" + server.getLocalAddress().getPort() + "/");
    System.out.flush();
    while (System.in.read() >= 0) {
    }
    server.shutdownNow();
    System.exit(0);
  }
}
