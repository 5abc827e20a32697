// TLS in both directions, and connections that grow old.
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "service/service_fixture.h"

namespace minnow::test {
namespace {

// A key and a certificate for it, made here.
class Identity {
 public:
  // `issuer`: who signs; null: itself, an authority.
  Identity(const char* name, const Identity* issuer, long days = 1)
      : key_(EVP_EC_gen("P-256"), &EVP_PKEY_free), certificate_(X509_new(), &X509_free) {
    static long serial = 0;
    X509* const x = certificate_.get();
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x), -2 * 86400);
    X509_gmtime_adj(X509_getm_notAfter(x), days * 86400);
    X509_set_pubkey(x, key_.get());
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
    const Identity& by = issuer ? *issuer : *this;
    X509_set_issuer_name(x, X509_get_subject_name(by.certificate_.get()));
    Extend(NID_basic_constraints, issuer ? "critical,CA:FALSE" : "critical,CA:TRUE");
    if (issuer) Extend(NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost");
    CHECK(X509_sign(x, by.key_.get(), EVP_sha256()) > 0);
  }

  std::string certificate() const {
    return Pem([this](BIO* bio) { PEM_write_bio_X509(bio, certificate_.get()); });
  }
  std::string key() const {
    return Pem([this](BIO* bio) {
      PEM_write_bio_PrivateKey(bio, key_.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
  }

 private:
  void Extend(int nid, const char* value) {
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
    CHECK(extension != nullptr);
    X509_add_ext(certificate_.get(), extension, -1);
    X509_EXTENSION_free(extension);
  }
  template <class Write>
  static std::string Pem(Write write) {
    BIO* const bio = BIO_new(BIO_s_mem());
    write(bio);
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    std::string text(data, static_cast<size_t>(size));
    BIO_free(bio);
    return text;
  }

  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key_;
  const std::unique_ptr<X509, decltype(&X509_free)> certificate_;
};

TEST_GROUP(Tls) {
  ServiceFixture f;
  Identity authority{"authority", nullptr};
  Identity server{"server", &authority};

  void setup() override {
    f.options.models = {{"llama", kGolden + "llama.gguf"}};
    f.options.server.tls.certificate = server.certificate();
    f.options.server.tls.key = server.key();
  }

  grpc::Status Call(std::shared_ptr<grpc::ChannelCredentials> credentials) {
    auto stub = v1::Models::NewStub(f.Channel(std::move(credentials)));
    v1::ListModelsResponse list;
    Context context;
    return stub->List(&context, {}, &list);
  }
  static std::shared_ptr<grpc::ChannelCredentials> Trusting(const Identity& root,
                                                            const Identity* own = nullptr) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = root.certificate();
    if (own) {
      options.pem_private_key = own->key();
      options.pem_cert_chain = own->certificate();
    }
    return grpc::SslCredentials(options);
  }
};

TEST(Tls, ServesThoseWhoTrustTheCertificateAndNobodyInTheClear) {
  f.Start();
  CHECK_GRPC_OK(Call(Trusting(authority)));
  const Identity other("other", nullptr);
  LONGS_EQUAL(grpc::StatusCode::UNAVAILABLE, Call(Trusting(other)).error_code());
  LONGS_EQUAL(grpc::StatusCode::UNAVAILABLE, Call(grpc::InsecureChannelCredentials()).error_code());
}

TEST(Tls, OfBothSidesServesOnlyCertificatesOfTheClientsAuthority) {
  const Identity clients("clients", nullptr), others("others", nullptr);
  const Identity client("client", &clients), stranger("client", &others),
      expired("client", &clients, -1);
  f.options.server.tls.client_ca = clients.certificate();
  f.Start();
  CHECK_GRPC_OK(Call(Trusting(authority, &client)));
  for (const Identity* wrong : {&stranger, &expired, static_cast<const Identity*>(nullptr)}) {
    LONGS_EQUAL(grpc::StatusCode::UNAVAILABLE, Call(Trusting(authority, wrong)).error_code());
  }
  CHECK_GRPC_OK(Call(Trusting(authority, &client)));
}

TEST(Tls, OfBothSidesWantsTheTokenBesides) {
  const Identity clients("clients", nullptr);
  const Identity client("client", &clients);
  f.options.server.tls.client_ca = clients.certificate();
  auto tokens = service::Tokens::Parse("the-only-token-there-is");
  CHECK_OK(tokens.status());
  f.options.server.tokens = *std::move(tokens);
  f.Start();
  CHECK_GRPC(UNAUTHENTICATED, "UNAUTHENTICATED", Call(Trusting(authority, &client)));
}

TEST(Tls, AClientCertificateOpensAnAddressForOtherMachines) {
  f.options.server.listen = {"0.0.0.0:0"};
  CHECK_ERROR(Code::kInvalid, "--tls-client-ca", f.TryStart());
  f.Stop();
  f.options.server.tls.client_ca = authority.certificate();
  CHECK_OK(f.TryStart());
}

TEST(Tls, ACertificateAndAKeyThatDoNotFitAreRefused) {
  const service::TlsOptions good = f.options.server.tls;
  const auto refused = [&](const char* why) {
    CHECK_ERROR(Code::kInvalid, why, f.TryStart());
    f.Stop();
    f.options.server.tls = good;
  };
  f.options.server.tls.key = Identity("another", &authority).key();
  refused("the TLS key is not that of the certificate");
  f.options.server.tls.certificate = "no certificate";
  refused("the TLS certificate is no certificate in PEM");
  f.options.server.tls.key = f.options.server.tls.certificate;  // the other way round
  refused("the TLS key is no private key in PEM");
  f.options.server.tls.client_ca = good.key;
  refused("the certificates of clients are no certificate in PEM");
}

TEST_GROUP(ConnectionAge) { ServiceFixture f; };

// The server asks an old connection to end: what runs on it runs on, and the client's next call
// makes a new one.
TEST(ConnectionAge, EndsConnectionsAndNoCall) {
  f.options.models = {{"llama", kGolden + "llama.gguf"}};
  f.options.server.max_connection_age_seconds = 0.5;
  f.Start();
  const auto channel = f.Channel();
  auto inference = v1::Inference::NewStub(channel);
  auto health = grpc::health::v1::Health::NewStub(channel);
  // On a slow machine a call may find its connection too old already: then it is made again.
  std::unique_ptr<Context> watching;
  std::unique_ptr<grpc::ClientReader<grpc::health::v1::HealthCheckResponse>> watch;
  grpc::health::v1::HealthCheckResponse state;
  bool begun = false;
  for (int i = 0; i < 100 && !begun; ++i) {
    watch.reset();
    watching = std::make_unique<Context>();
    watch = health->Watch(watching.get(), {});
    begun = watch->Read(&state);
  }
  CHECK(begun);
  const auto deadline = std::chrono::system_clock::now() + std::chrono::seconds(60);
  CHECK(channel->WaitForStateChange(GRPC_CHANNEL_READY, deadline));  // it was told to go away
  grpc::Status next(grpc::StatusCode::UNAVAILABLE, "");
  for (int i = 0; i < 100 && next.error_code() == grpc::StatusCode::UNAVAILABLE; ++i) {
    Context context;
    next = Generate(*inference, Generation(3), context).status;
  }
  CHECK_GRPC_OK(next);
  // The call on the old connection has not ended by that.
  f.service->StopAdmitting();
  CHECK(watch->Read(&state));
  LONGS_EQUAL(grpc::health::v1::HealthCheckResponse::NOT_SERVING, state.status());
  watching->TryCancel();
  (void)watch->Finish();
}

}  // namespace
}  // namespace minnow::test
