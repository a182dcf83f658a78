package blob

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"

	"github.com/terrace-cd/terrace/internal/core"
)

// s3Settings is what a URL s3://BUCKET?… may say. Credentials are not among it: they
// come from where AWS programs look for them (environment, profile, instance role).
type s3Settings struct {
	bucket, prefix            string
	endpoint, region, profile string
	pathStyle                 bool
	encryption, kmsKey        string // that the bucket's policy asks for
}

// s3Parameters are the names, as people write them.
var s3Parameters = []string{"endpoint", "kms_key_id", "prefix", "profile", "region", "sse", "use_path_style"}

// parseS3 reads a URL. Its errors name a parameter, never a value that may be secret.
func parseS3(storage string) (s s3Settings, err error) {
	u, err := url.Parse(storage)
	if err != nil {
		return s, core.Errorf(core.Invalid, "the storage is not a URL like s3://BUCKET?region=REGION")
	}
	if u.User != nil {
		return s, core.Errorf(core.Invalid, "credentials do not belong into the storage's URL, which is shown and logged; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile")
	}
	s.bucket, s.prefix = u.Host, strings.Trim(u.Path, "/")
	if s.bucket == "" {
		return s, core.Errorf(core.Invalid, "%s names no bucket; use s3://BUCKET?region=REGION", storage)
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return s, core.Errorf(core.Invalid, "the parameters of the storage s3://%s cannot be read; write them as name=value, with & between", s.bucket)
	}
	for name, value := range values {
		if len(value) > 1 {
			return s, core.Errorf(core.Invalid, "the storage s3://%s says %s twice", s.bucket, name)
		}
		switch v := value[0]; name {
		case "endpoint":
			e, err := url.Parse(v)
			if err != nil || e.Host == "" || e.User != nil || e.Scheme != "http" && e.Scheme != "https" {
				return s, core.Errorf(core.Invalid, "the endpoint of the storage s3://%s is not a URL like https://HOST", s.bucket)
			}
			s.endpoint = v
		case "region":
			s.region = v
		case "profile":
			s.profile = v
		case "sse":
			s.encryption = v
		case "kms_key_id":
			s.kmsKey = v
		case "prefix":
			if s.prefix != "" {
				return s, core.Errorf(core.Invalid, "the storage s3://%s says its prefix twice: as a path and as prefix=", s.bucket)
			}
			s.prefix = strings.Trim(v, "/")
		case "use_path_style":
			if s.pathStyle, err = strconv.ParseBool(v); err != nil {
				return s, core.Errorf(core.Invalid, "use_path_style of the storage s3://%s is neither true nor false", s.bucket)
			}
		default:
			return s, core.Errorf(core.Invalid, "the storage s3://%s has a parameter %q, which is not known; there are: %s", s.bucket, name, strings.Join(s3Parameters, ", "))
		}
	}
	if s.prefix != "" && !isKey(s.prefix) {
		return s, core.Errorf(core.Invalid, "the prefix %q of the storage s3://%s cannot be used: letters, digits, _, -, . and / may be in it", s.prefix, s.bucket)
	}
	if s.encryption != "" && !slices.Contains(types.ServerSideEncryption("").Values(), types.ServerSideEncryption(s.encryption)) {
		return s, core.Errorf(core.Invalid, "sse of the storage s3://%s is not an encryption that S3 knows, like AES256 or aws:kms", s.bucket)
	}
	return s, nil
}

// shown is how messages name the storage.
func (s s3Settings) shown() string {
	name := "s3://" + s.bucket
	if s.prefix != "" {
		name += "/" + s.prefix
	}
	if s.endpoint != "" {
		name += " at " + s.endpoint
	}
	return name
}

// openS3 makes a client. Nothing is asked of the service yet.
func openS3(ctx context.Context, storage string, l limits) (*Bucket, error) {
	s, err := parseS3(storage)
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, l.call)
	defer cancel()
	client := awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = l.answer }).
		WithTransportOptions(func(t *http.Transport) { t.ResponseHeaderTimeout, t.TLSHandshakeTimeout = l.answer, l.answer })
	options := []func(*config.LoadOptions) error{
		config.WithHTTPClient(client),
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 3, 2*time.Second })
		}),
	}
	if s.region != "" {
		options = append(options, config.WithRegion(s.region))
	}
	if s.profile != "" {
		options = append(options, config.WithSharedConfigProfile(s.profile))
	}
	c, err := config.LoadDefaultConfig(within, options...)
	if err != nil {
		return nil, core.Errorf(core.Invalid, "the settings for the storage %s cannot be read: %w", s.shown(), err)
	}
	if c.Region == "" {
		return nil, core.Errorf(core.Invalid, "the storage %s needs a region; add region=REGION to its URL or set AWS_REGION", s.shown())
	}
	if _, err := c.Credentials.Retrieve(within); err != nil {
		return nil, core.Errorf(core.Invalid, "there are no credentials for the storage %s; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile with profile=, or give this machine a role: %w", s.shown(), err)
	}
	service := s3.NewFromConfig(c, func(o *s3.Options) {
		o.UsePathStyle = s.pathStyle
		o.DisableLogOutputChecksumValidationSkipped = true // of objects in parts; the seal tells
		if s.endpoint != "" {
			o.BaseEndpoint = aws.String(s.endpoint)
		}
	})
	bucket, err := s3blob.OpenBucket(ctx, service, s.bucket, &s3blob.Options{RequestChecksumCalculation: c.RequestChecksumCalculation,
		EncryptionType: types.ServerSideEncryption(s.encryption), KMSEncryptionID: s.kmsKey})
	if err != nil {
		return nil, core.Errorf(core.Invalid, "the storage %s cannot be used: %w", s.shown(), err)
	}
	if s.prefix != "" {
		bucket = blob.PrefixedBucket(bucket, s.prefix+"/")
	}
	return &Bucket{shown: s.shown(), bucket: bucket, limits: l, explain: func(err error) string { return explainS3(s, err) }, damaged: damagedS3, conditional: true}, nil
}

// explainS3 says what the service's refusal means and what to do.
func explainS3(s s3Settings, err error) string {
	var refused smithy.APIError
	if !errors.As(err, &refused) {
		return ""
	}
	said := refused.ErrorCode()
	if m := refused.ErrorMessage(); m != "" && m != said {
		said += ": " + strings.TrimSpace(m)
	}
	switch refused.ErrorCode() {
	case "NoSuchBucket":
		return "there is no bucket " + s.bucket + "; make it, or correct its name or region (" + said + ")"
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "TokenRefreshRequired", "InvalidClientTokenId", "UnrecognizedClientException", "XAdminUserNotFound":
		return "the service does not accept these credentials; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the profile or the role (" + said + ")"
	case "AccessDenied", "Forbidden", "AllAccessDisabled", "AccountProblem":
		return "these credentials may not do that with the bucket " + s.bucket + "; they need s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket (" + said + ")"
	case "AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException", "BucketRegionError", "TemporaryRedirect", "MovedPermanently":
		return "the bucket " + s.bucket + " is not in the region that was asked; correct region= in the storage's URL (" + said + ")"
	case "RequestTimeTooSkewed":
		return "this machine's clock is wrong; correct it (" + said + ")"
	}
	return ""
}

// notImplemented tells that the service does not know conditional writes.
func notImplemented(err error) bool {
	var refused smithy.APIError
	return errors.As(err, &refused) && refused.ErrorCode() == "NotImplemented"
}

// damagedS3 tells that the checksum kept with the object is not that of its content.
// The library has no name for this error that others may use.
func damagedS3(err error) bool {
	return err != nil && strings.Contains(err.Error(), "checksum did not match")
}
