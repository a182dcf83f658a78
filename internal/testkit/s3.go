package testkit

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// S3Bucket is a fresh bucket of an S3 service (versitygw, keeping objects as files).
type S3Bucket struct {
	Endpoint string // http://127.0.0.1:PORT
	Region   string
	Bucket   string
	// AccessKey and SecretKey are the same for all services of a test binary.
	AccessKey, SecretKey string
	// URL names the bucket as terrace server --storage takes it. It holds no credentials.
	URL string
	// Folder is where the service keeps the bucket: an object is the file with its key.
	Folder string

	service *s3Service
}

// S3 returns an empty bucket of the service that the tests of a binary share, which is
// started when it is first wanted. Credentials are in the environment of this process
// afterwards (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY); Env has them for others.
func S3(t testing.TB) *S3Bucket {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.service == nil {
		shared.service = newS3Service(t)
	}
	shared.users++
	t.Cleanup(func() {
		shared.Lock()
		defer shared.Unlock()
		if shared.users--; shared.users == 0 { // the next test starts another one
			shared.service.remove(t)
			shared.service = nil
		}
	})
	return shared.service.bucket(t)
}

// FaultyS3 returns an empty bucket of a service of its own, which the test may stop,
// start and freeze.
func FaultyS3(t testing.TB) *S3Bucket {
	t.Helper()
	s := newS3Service(t)
	t.Cleanup(func() { s.remove(t) })
	return s.bucket(t)
}

// Stop kills the service. Only for buckets of FaultyS3.
func (b *S3Bucket) Stop(t testing.TB) { t.Helper(); b.own(t).stop(t) }

// Start starts it again at the same address, with everything it has.
func (b *S3Bucket) Start(t testing.TB) { t.Helper(); b.own(t).start(t) }

// Freeze makes the service accept connections and answer nothing, until Thaw.
func (b *S3Bucket) Freeze(t testing.TB) { t.Helper(); b.own(t).signal(t, syscall.SIGSTOP) }

// Thaw ends Freeze: what was asked meanwhile is answered.
func (b *S3Bucket) Thaw(t testing.TB) { t.Helper(); b.own(t).signal(t, syscall.SIGCONT) }

func (b *S3Bucket) own(t testing.TB) *s3Service {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if b.service == shared.service {
		t.Fatal("other tests use this S3 service too; take one of its own: testkit.FaultyS3")
	}
	return b.service
}

// Env is what other programs need to reach the bucket.
func (b *S3Bucket) Env() []string {
	return []string{"AWS_ACCESS_KEY_ID=" + b.AccessKey, "AWS_SECRET_ACCESS_KEY=" + b.SecretKey, "AWS_REGION=" + b.Region,
		"AWS_EC2_METADATA_DISABLED=true"}
}

// Objects lists the keys in the bucket, by looking at the files.
func (b *S3Bucket) Objects(t testing.TB) []string {
	t.Helper()
	var keys []string
	if err := filepath.WalkDir(b.Folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		key, err := filepath.Rel(b.Folder, path)
		if err == nil && !strings.HasPrefix(key, ".") { // the service's own: uploads under way
			keys = append(keys, filepath.ToSlash(key))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return keys
}

var shared struct {
	sync.Mutex
	service *s3Service
	users   int
}

// s3Credentials are those of all services of this process: programs under test take
// them from the environment, of which a process has one.
var s3Credentials = sync.OnceValues(func() (access, secret string) {
	access, secret = "AK"+rand.Text()[:18], rand.Text()+rand.Text()
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret, "AWS_EC2_METADATA_DISABLED": "true"} {
		if err := os.Setenv(name, value); err != nil {
			panic(err) // these names are good
		}
	}
	return access, secret
})

// s3Service is a versitygw process and its folder.
type s3Service struct {
	program, dir string
	port         int
	cmd          *exec.Cmd
	log          *os.File
}

const s3Region = "us-east-1"

// newS3Service starts a service in a folder of its own, which outlives the test that
// happens to need it first.
func newS3Service(t testing.TB) *s3Service {
	t.Helper()
	program := versitygw(t)
	dir, err := os.MkdirTemp("", "terrace-s3-")
	if err != nil {
		t.Fatal(err)
	}
	s := &s3Service{program: program, dir: dir, port: FreePort(t)}
	if err := os.MkdirAll(filepath.Join(dir, "buckets"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "meta"), 0o700); err != nil { // not every temporary folder has extended attributes
		t.Fatal(err)
	}
	s.start(t)
	return s
}

// versitygw returns the program that scripts/deps installs.
func versitygw(t testing.TB) string {
	t.Helper()
	if path, err := exec.LookPath("versitygw"); err == nil {
		return path
	}
	if path, ok := inCache("versitygw"); ok {
		return path
	}
	t.Fatal("versitygw, an S3 service, is not installed; run: scripts/deps test")
	return ""
}

// inCache returns the newest program of a name that scripts/deps keeps.
func inCache(name string) (path string, ok bool) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", false
	}
	found, err := filepath.Glob(filepath.Join(cache, "terrace", name, "*", name))
	if err != nil || len(found) == 0 {
		return "", false
	}
	slices.Sort(found)
	return found[len(found)-1], true
}

func (s *s3Service) start(t testing.TB) {
	t.Helper()
	access, secret := s3Credentials()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(s.program, "--port", "127.0.0.1:"+strconv.Itoa(s.port), "--region", s3Region, "--keep-alive", "--quiet", //nolint:noctx // it outlives the test
		"posix", "--sidecar", filepath.Join(s.dir, "meta"), filepath.Join(s.dir, "buckets"))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "TMPDIR=" + s.dir, "ROOT_ACCESS_KEY=" + access, "ROOT_SECRET_KEY=" + secret}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = diesWithTests()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.cmd, s.log = cmd, log
	if !within(20*time.Second, func() bool { return listens(s.port) }) {
		s.remove(t)
		t.Fatalf("versitygw does not listen on port %d", s.port)
	}
}

func (s *s3Service) signal(t testing.TB, signal os.Signal) {
	t.Helper()
	if s.cmd == nil {
		t.Fatal("the S3 service is not running")
	}
	if err := s.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// stop kills the service and waits for its end.
func (s *s3Service) stop(t testing.TB) {
	t.Helper()
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = s.cmd.Wait() // its exit code says that it was killed
	_ = s.log.Close()
	s.cmd = nil
}

// remove stops the service for good.
func (s *s3Service) remove(t testing.TB) {
	t.Helper()
	s.stop(t)
	if t.Failed() {
		if said := read(t, filepath.Join(s.dir, "log")); said != "" {
			t.Logf("versitygw said:\n%s", said)
		}
	}
	if err := os.RemoveAll(s.dir); err != nil {
		t.Error(err)
	}
}

// bucket makes one: to this service, a folder is a bucket.
func (s *s3Service) bucket(t testing.TB) *S3Bucket {
	t.Helper()
	access, secret := s3Credentials()
	b := &S3Bucket{Endpoint: "http://127.0.0.1:" + strconv.Itoa(s.port), Region: s3Region, Bucket: "b-" + strings.ToLower(rand.Text()[:12]),
		AccessKey: access, SecretKey: secret, service: s}
	b.URL = fmt.Sprintf("s3://%s?%s", b.Bucket, url.Values{"endpoint": {b.Endpoint}, "region": {b.Region}, "use_path_style": {"true"}}.Encode())
	b.Folder = filepath.Join(s.dir, "buckets", b.Bucket)
	if err := os.Mkdir(b.Folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return b
}
