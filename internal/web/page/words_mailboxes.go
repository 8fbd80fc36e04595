package page

var wordsOfMailboxes = map[string][2]string{
	"state.valid":      {"valida", "valid"},
	"state.due":        {"da rinnovare", "to renew"},
	"state.expired":    {"scaduta", "expired"},
	"state.broken":     {"rifiutata", "refused"},
	"state.unverified": {"da verificare", "not verified"},
	"state.missing":    {"manca", "missing"},

	"means.valid":      {"La password funziona e scade tra più di qualche giorno.", "The password works and has some time left."},
	"means.due":        {"La scadenza è vicina: il cliente deve rinnovarla o posticiparla.", "It expires soon: the client must renew or postpone it."},
	"means.expired":    {"La data è passata.", "Its date has passed."},
	"means.broken":     {"Funzionava, e ora il gestore la rifiuta: serve una nuova password. Non viene più provata.", "It worked, and now the provider refuses it: a new one is needed. It is not tried any more."},
	"means.unverified": {"È arrivata, ma il gestore non ha ancora risposto: si riprova da sé.", "It arrived, but the provider has not answered yet: tried again by itself."},
	"means.missing":    {"Il cliente è in elenco, ma non ha ancora mandato una password.", "The client is on the list, but has sent no password yet."},

	"home.title":       {"Caselle", "Mailboxes"},
	"home.search":      {"Cerca una casella o un cliente", "Search for a mailbox or a client"},
	"home.search.go":   {"Cerca", "Search"},
	"home.state":       {"Stato", "State"},
	"home.state.all":   {"tutti", "all"},
	"home.list":        {"Elenco delle caselle", "List of mailboxes"},
	"home.none":        {"Nessuna casella corrisponde.", "No mailbox matches."},
	"home.empty":       {"Non ci sono ancora clienti. Si aggiungono con “ingest client import”.", "There are no clients yet. “ingest client import” adds them."},
	"home.count.one":   {"%d casella", "%d mailbox"},
	"home.count.more":  {"%d caselle", "%d mailboxes"},
	"home.of":          {"%s su %d", "%s of %d"},
	"home.attention":   {"Da guardare oggi", "To look at today"},
	"home.allwell":     {"Tutte le password sono valide.", "All passwords are valid."},
	"home.col.client":  {"Cliente e casella", "Client and mailbox"},
	"home.col.state":   {"Stato", "State"},
	"home.col.days":    {"Restano", "Left"},
	"home.col.expires": {"Scade", "Expires"},
	"home.col.span":    {"Validità", "Validity"},
	"home.col.check":   {"Ultima prova", "Last check"},
	"home.sorted.up":   {"in ordine crescente", "ascending"},
	"home.sorted.down": {"in ordine decrescente", "descending"},
	"home.sort":        {"Ordina per", "Sort by"},
	"home.sort.dir":    {"Verso", "Direction"},
	"home.login":       {"utente %s", "login %s"},
	"days.one":         {"%d giorno", "%d day"}, "days.more": {"%d giorni", "%d days"},
	"days.over.one": {"da %d giorno", "%d day ago"}, "days.over.more": {"da %d giorni", "%d days ago"},
	"days.today":   {"oggi", "today"},
	"claimed":      {"dichiarata fino al %s", "claimed until %s"},
	"span.label":   {"dal %s al %s, rinnovo dal %s, trascorso il %d%%", "from %s to %s, renewal from %s, %d%% elapsed"},
	"trouble.from": {"senza risposta dal %s", "no answer since %s"},

	"check.accepted":     {"funziona", "works"},
	"check.refused":      {"rifiutata", "refused"},
	"check.not-enabled":  {"programmi non ammessi", "programs not let in"},
	"check.unavailable":  {"server non disponibile", "server unavailable"},
	"check.rate-limited": {"troppi accessi", "too many logins"},
	"check.network":      {"non raggiunto", "not reached"},
	"check.tls":          {"certificato non valido", "bad certificate"},
}

var wordsOfReview = map[string][2]string{}
var wordsOfMessages = map[string][2]string{}
var wordsOfStanding = map[string][2]string{}
var wordsOfProblems = map[string][2]string{
	"trouble.title": {"Non è possibile", "Not possible"},
}
